//! Labels that stay few, whatever comes in from outside.

use std::{
    borrow::Cow,
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

/// What all names beyond the limit are called.
const OTHER: &str = "other";

/// Gives out names as labels, up to so many; each series of a metric costs memory here and at whoever collects it.
#[derive(Debug)]
pub struct Bounded {
    limit: usize,
    names: Mutex<BTreeSet<String>>,
}

impl Bounded {
    /// These names, and the first `more` others.
    pub fn new<N: Into<String>>(names: impl IntoIterator<Item = N>, more: usize) -> Self {
        let names: BTreeSet<String> = names.into_iter().map(Into::into).collect();
        Self { limit: names.len() + more, names: Mutex::new(names) }
    }

    /// The name itself, or `other`.
    pub fn label(&self, name: &str) -> Cow<'static, str> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if !names.contains(name) {
            if names.len() >= self.limit {
                return OTHER.into();
            }
            names.insert(name.to_owned());
        }
        name.to_owned().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_past_the_limit_are_one() {
        let topologies = Bounded::new(["moa", "single"], 1);
        let labels = ["moa", "a", "b", "a", "single"].map(|name| topologies.label(name));
        assert_eq!(labels, ["moa", "a", "other", "a", "single"]);
    }
}
