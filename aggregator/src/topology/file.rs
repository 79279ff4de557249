//! A whole file: `default_topology`, `[roles.NAME]` and `[topologies.NAME]`.

use std::time::Duration;

use toml_edit::Document;

use super::{
    Mistake, Topologies,
    mistakes::Mistakes,
    nearest::{hint, nearest},
    reader::Reader,
    roles::Roles,
    section::{Section, string},
    text::TextOf,
};

/// How long a run may take where the file does not say.
pub(super) const DEFAULT_DEADLINE: Duration = Duration::from_secs(120);
/// The most topologies of a file.
const MAX_TOPOLOGIES: usize = 256;

/// What a file is judged against, besides its own rules.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known<'k> {
    /// Names of models; `None` to leave them unjudged.
    pub models: Option<&'k [&'k str]>,
    /// Top-level keys that others own (`aggregator`, `node`, …); `None` leaves every top-level key to its owner,
    /// unless it looks like a slip of one of ours.
    pub others: Option<&'k [&'k str]>,
}

/// Every mistake in a `synod.toml`, or in a file with only topologies, in the order of the file.
pub fn check(text: &str) -> Vec<Mistake> {
    check_with(text, &Known::default())
}

/// [`check`] that also judges what only the caller knows.
pub fn check_with(text: &str, known: &Known<'_>) -> Vec<Mistake> {
    from_toml(text, known).err().unwrap_or_default()
}

/// The built-in topologies with those of the file beside or in place of them, or everything that is wrong.
pub fn from_toml(text: &str, known: &Known<'_>) -> Result<Topologies, Vec<Mistake>> {
    read_over(Topologies::builtin(), text, known)
}

/// Reads a file over topologies that are there already.
pub(super) fn read_over(base: Topologies, text: &str, known: &Known<'_>) -> Result<Topologies, Vec<Mistake>> {
    let mistakes = Mistakes::new(text);
    let document = match Document::parse(text) {
        Ok(document) => document,
        Err(error) => {
            mistakes.add("", error.span().unwrap_or(0..0), format!("not TOML: {}", error.message()));
            return Err(mistakes.into_sorted());
        }
    };
    let mut root = Section::root(document.as_table(), &mistakes);
    let mut roles = Roles::builtin();
    if let Some(section) = root.section("roles") {
        roles.read(&section);
    }
    let sections = root.section("topologies").map(|section| named(&section)).unwrap_or_default();
    let text = TextOf::new(text);
    let reader = Reader::new(sections, &base, &roles, known, &text);
    let topologies = reader.read_all();
    let default = root.get("default_topology", |item| {
        let name = string(item)?;
        let defined = reader.names().chain(base.names());
        let unknown = format!("unknown topology \"{name}\": {}", hint(&name, defined.clone()));
        if defined.clone().any(|one| one == name) { Ok(name) } else { Err(unknown) }
    });
    judge_other_keys(&root, known);
    if !mistakes.is_empty() {
        return Err(mistakes.into_sorted());
    }
    Ok(base.with(topologies, default))
}

fn named<'t>(section: &Section<'t>) -> Vec<(&'t str, Section<'t>)> {
    let sections = section.named_sections();
    if sections.len() > MAX_TOPOLOGIES {
        section.wrong_here(format!("{} topologies: a file has at most {MAX_TOPOLOGIES}", sections.len()));
    }
    sections
}

/// Other parts of the program own other keys, but nobody owns `[topologys.moa]`.
fn judge_other_keys(root: &Section<'_>, known: &Known<'_>) {
    const OURS: [&str; 3] = ["default_topology", "roles", "topologies"];
    for key in root.others() {
        match known.others {
            Some(others) if others.contains(&key) => {}
            Some(others) => {
                let all = OURS.into_iter().chain(others.iter().copied());
                root.wrong_key(key, format!("unknown key: {}", hint(key, all)));
            }
            None => {
                if let Some(near) = nearest(key, OURS) {
                    root.wrong_key(key, format!("unknown key: did you mean \"{near}\"?"));
                }
            }
        }
    }
}
