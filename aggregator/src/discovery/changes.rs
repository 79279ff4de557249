//! What is new in a list of nodes.

use std::collections::{BTreeSet, VecDeque};

use super::Update;

/// Turns whole lists into updates: a reset first, then only what differs.
#[derive(Debug, Default)]
pub(super) struct Changes {
    said: Option<BTreeSet<String>>,
    waiting: VecDeque<Update>,
}

impl Changes {
    /// These exist now, and no others.
    pub(super) fn set(&mut self, now: BTreeSet<String>) {
        match &self.said {
            None => self.waiting.push_back(Update::Reset(now.iter().cloned().collect())),
            Some(before) => {
                // Who is new comes first: a node that moved is never missed in between.
                self.waiting.extend(now.difference(before).cloned().map(Update::Add));
                self.waiting.extend(before.difference(&now).cloned().map(Update::Remove));
            }
        }
        self.said = Some(now);
    }

    /// The next update that nobody has heard of.
    pub(super) fn next(&mut self) -> Option<Update> {
        self.waiting.pop_front()
    }

    /// Whether anything was ever said.
    pub(super) fn began(&self) -> bool {
        self.said.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_said_after_the_first_list() {
        let mut changes = Changes::default();
        let mut updates = |addresses: &[&str]| {
            changes.set(addresses.iter().map(|address| (*address).to_owned()).collect());
            std::iter::from_fn(|| changes.next()).collect::<Vec<_>>()
        };
        assert_eq!(updates(&["a", "b"]), [Update::Reset(vec!["a".into(), "b".into()])]);
        assert_eq!(updates(&["b", "c"]), [Update::Add("c".into()), Update::Remove("a".into())]);
        assert_eq!(updates(&["b", "c"]), []);
        assert_eq!(updates(&[]), [Update::Remove("b".into()), Update::Remove("c".into())]);
    }
}
