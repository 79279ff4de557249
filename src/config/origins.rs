//! Who said what: after the layers are merged, where a key's value was written.

use super::document::Document;
use super::key::KeyPath;
use super::mistake::{Mistake, Origin};

/// The layers of a configuration, for finding a key's place.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origins {
    /// Weakest first.
    pub(super) documents: Vec<Document>,
    /// Variable and the key it sets.
    pub(super) environment: Vec<(String, KeyPath)>,
    /// Flag and the key it sets.
    pub(super) flags: Vec<(&'static str, KeyPath)>,
}

impl Origins {
    /// A mistake of this key, with its place.
    pub(crate) fn mistake(&self, key: &KeyPath, message: impl Into<String>) -> Mistake {
        Mistake { origin: self.of(key), key: key.to_string(), message: message.into() }
    }

    /// Where the value of this key comes from: the strongest layer that has it, or else the one that has most of the
    /// way to it, for a key that is missing.
    pub(crate) fn of(&self, key: &KeyPath) -> Origin {
        if let Some((flag, _)) = self.flags.iter().find(|(_, set)| set.is_prefix_of(key)) {
            return Origin::Flag((*flag).to_owned());
        }
        if let Some((variable, _)) = self.environment.iter().find(|(_, set)| set.is_prefix_of(key)) {
            return Origin::Environment(variable.clone());
        }
        let places = self.documents.iter().filter_map(|document| Some((document.locate(key)?, document)));
        // Of equals `max_by_key` takes the last, which is the strongest.
        match places.max_by_key(|((depth, _), _)| *depth) {
            Some(((_, line), document)) => Origin::File { path: document.path().to_owned(), line: Some(line) },
            None => Origin::Default,
        }
    }

    pub(super) fn is_reported(&self, key: &KeyPath) -> bool {
        self.documents.iter().any(|document| document.is_reported(key))
    }
}
