//! Where in a schema something stands.

use std::fmt;

use crate::grammar::GrammarError;

/// A JSON pointer, as in `#/properties/name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::grammar) struct Place(Vec<String>);

impl Place {
    pub(super) fn root() -> Self {
        Self(Vec::new())
    }

    pub(super) fn child(&self, key: &str) -> Self {
        Self(self.0.iter().cloned().chain([key.to_owned()]).collect())
    }

    pub(super) fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn ends_with(&self, key: &str) -> bool {
        self.0.last().is_some_and(|last| last == key)
    }

    /// The pointer as llguidance resolves it: it knows no escapes, so a place whose path needs some has none.
    pub(super) fn to_pointer(&self) -> String {
        if self.0.iter().any(|key| key.contains(['/', '~', '%'])) { String::new() } else { self.to_string() }
    }

    pub(super) fn problem(&self, problem: impl Into<String>) -> GrammarError {
        GrammarError::Schema { at: self.to_string(), problem: problem.into() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("#")?;
        self.0.iter().try_for_each(|key| write!(f, "/{}", key.replace('~', "~0").replace('/', "~1")))
    }
}
