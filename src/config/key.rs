//! The way to a value in a configuration: `aggregator.listen`, `models."qwen2.5".files[1].sha256`.

use std::fmt;

/// Steps from the root of a configuration to one of its values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct KeyPath(Vec<Step>);

/// One step down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Into a table.
    Key(String),
    /// Into an array, from 0.
    Index(usize),
}

impl KeyPath {
    /// The path of these keys.
    pub(crate) fn of<const N: usize>(keys: [&str; N]) -> Self {
        Self(keys.iter().map(|key| Step::Key((*key).to_owned())).collect())
    }

    /// The steps, from the root.
    pub(crate) fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The path one key further.
    #[must_use]
    pub(crate) fn key(&self, key: &str) -> Self {
        self.with(Step::Key(key.to_owned()))
    }

    /// The path of an element of this array.
    #[must_use]
    pub(crate) fn index(&self, index: usize) -> Self {
        self.with(Step::Index(index))
    }

    /// The path one step further.
    #[must_use]
    pub(crate) fn with(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// The path further by what another crate reports as text: `stages[1].members[0].model`. Keys in it hold no dots
    /// or brackets; those are names a user chose, and they are in `self`.
    #[must_use]
    pub(crate) fn join(&self, relative: &str) -> Self {
        let parts = relative.split(['.', '[']).filter(|part| !part.is_empty());
        parts.fold(self.clone(), |path, part| match part.strip_suffix(']').and_then(|index| index.parse().ok()) {
            Some(index) => path.index(index),
            None => path.key(part),
        })
    }

    /// The path without trailing indices; nothing if no key is left.
    pub(crate) fn up_to_key(&self) -> Option<Self> {
        let length = self.0.iter().rposition(|step| matches!(step, Step::Key(_)))? + 1;
        Some(Self(self.0[..length].to_vec()))
    }

    /// Whether `self` is `other` or above it.
    pub(crate) fn is_prefix_of(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) => {
                    let bare = key.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)) && !key.is_empty();
                    let dot = if at == 0 { "" } else { "." };
                    if bare { write!(f, "{dot}{key}")? } else { write!(f, "{dot}{key:?}")? }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_written_as_toml_writes_it() {
        let path = KeyPath::of(["models", "qwen2.5"]).join("files[1].sha256");
        assert_eq!(path.to_string(), r#"models."qwen2.5".files[1].sha256"#);
        assert_eq!(KeyPath::default().join("stages[0]").to_string(), "stages[0]");
    }
}
