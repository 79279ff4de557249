//! All topologies that a process offers.

use std::{collections::BTreeMap, sync::Arc};

use super::{Topology, builtin, nearest::hint};

/// The topologies of a process by name, and which one is meant when none is named.
#[derive(Debug, Clone, PartialEq)]
pub struct Topologies {
    by_name: BTreeMap<String, Arc<Topology>>,
    default: String,
}

/// A name that no topology has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no topology \"{name}\": {hint}")]
pub struct UnknownTopology {
    name: String,
    hint: String,
}

impl Topologies {
    /// Those that come with Synod.
    pub fn builtin() -> Self {
        builtin::all()
    }

    pub(super) fn empty() -> Self {
        Self { by_name: BTreeMap::new(), default: builtin::DEFAULT.to_owned() }
    }

    /// The named one, or the default for an empty name.
    pub fn get(&self, name: &str) -> Result<&Arc<Topology>, UnknownTopology> {
        let wanted = if name.is_empty() { &self.default } else { name };
        self.find(wanted).ok_or_else(|| {
            let names: Vec<&str> = self.names().collect();
            let near = hint(wanted, self.names());
            // All names, also beside a guess: the guess may be wrong, and there are few.
            let hint = if near.starts_with("known") { near } else { format!("{near} known are {}", names.join(", ")) };
            UnknownTopology { name: wanted.to_owned(), hint }
        })
    }

    pub(super) fn find(&self, name: &str) -> Option<&Arc<Topology>> {
        self.by_name.get(name)
    }

    /// The name of the one that is meant when none is named.
    pub fn default_name(&self) -> &str {
        &self.default
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.by_name.keys().map(String::as_str)
    }

    /// All of them, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = &Topology> {
        self.by_name.values().map(Arc::as_ref)
    }

    /// These with others beside or in place of them.
    pub(super) fn with(mut self, more: BTreeMap<String, Arc<Topology>>, default: Option<String>) -> Self {
        self.by_name.extend(more);
        self.default = default.unwrap_or(self.default);
        self
    }
}
