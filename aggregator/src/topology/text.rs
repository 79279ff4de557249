//! A topology's own part of its file, for records.

use std::sync::Arc;

use toml_edit::{DocumentMut, Table};

/// A file that gives the text of each of its topologies.
pub(super) struct TextOf(DocumentMut);

impl TextOf {
    /// Of a file; empty for one that cannot be read, whose mistakes others tell.
    pub(super) fn new(text: &str) -> Self {
        Self(text.parse().unwrap_or_default())
    }

    /// A file with this topology alone, and the roles.
    pub(super) fn topology(&self, name: &str) -> Arc<str> {
        let mut alone = DocumentMut::new();
        if let Some(roles) = self.0.get("roles") {
            alone.insert("roles", roles.clone());
        }
        if let Some(topology) = self.0.get("topologies").and_then(|topologies| topologies.get(name)) {
            let mut topologies = Table::new();
            topologies.set_implicit(true);
            topologies.insert(name, topology.clone());
            alone.insert("topologies", topologies.into());
        }
        alone.to_string().into()
    }
}
