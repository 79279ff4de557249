//! A whole file: `default_topology`, `[roles.NAME]` and `[topologies.NAME]`.

use std::{collections::BTreeMap, time::Duration};

use toml_edit::Document;

use super::{
    MAX_STAGES, Mistake, Topologies, Topology,
    members::Context,
    mistakes::Mistakes,
    nearest::{hint, nearest},
    roles::Roles,
    section::{Section, string},
    stages::{self, positive_span},
};

/// How long a run may take where the file does not say.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(120);
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
    let context = Context { roles: &roles, known };
    let topologies = root.section("topologies").map(|section| read_all(&section, &context)).unwrap_or_default();
    let default = root.get("default_topology", |item| {
        let name = string(item)?;
        let defined = topologies.names.iter().copied().chain(base.names());
        let unknown = format!("unknown topology \"{name}\": {}", hint(&name, defined.clone()));
        if defined.clone().any(|one| one == name) { Ok(name) } else { Err(unknown) }
    });
    judge_other_keys(&root, known);
    if !mistakes.is_empty() {
        return Err(mistakes.into_sorted());
    }
    Ok(base.with(topologies.valid, default))
}

#[derive(Default)]
struct ReadAll<'t> {
    /// Every name in the file, also of those that are wrong.
    names: Vec<&'t str>,
    valid: BTreeMap<String, Topology>,
}

fn read_all<'t>(section: &Section<'t>, context: &Context<'_>) -> ReadAll<'t> {
    let mut all = ReadAll::default();
    let sections = section.named_sections();
    if sections.len() > MAX_TOPOLOGIES {
        section.wrong_here(format!("{} topologies: a file has at most {MAX_TOPOLOGIES}", sections.len()));
    }
    for (name, topology) in sections {
        all.names.push(name);
        if let Some(topology) = read_one(name, topology, context) {
            all.valid.insert(name.to_owned(), topology);
        }
    }
    all
}

fn read_one(name: &str, mut section: Section<'_>, context: &Context<'_>) -> Option<Topology> {
    let description = section.get("description", string).unwrap_or_default();
    let deadline = section.get("deadline", positive_span).unwrap_or(DEFAULT_DEADLINE);
    let entries = section.sections("stages");
    if entries.is_empty() {
        section.wrong_here(format!("no stages: add [[topologies.{name}.stages]] with a kind"));
    }
    if entries.len() > MAX_STAGES {
        section.wrong("stages", format!("{} stages: a topology has at most {MAX_STAGES}", entries.len()));
    }
    let count = entries.len();
    let read = |(at, entry): (usize, Option<Section<'_>>)| stages::read(entry?, context, count - at - 1);
    // Collected first so that a mistake in one stage does not hide those of the next.
    let stages: Vec<_> = entries.into_iter().enumerate().map(read).collect();
    section.finish();
    let stages = stages.into_iter().collect::<Option<Vec<_>>>()?;
    Some(Topology { name: name.to_owned(), description, deadline, stages })
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
