//! A prompt's parts, which may still be coming while a member reads the first of them.

use std::sync::Arc;

use futures::{Stream, stream};
use tokio::{sync::watch, time::Instant};

use crate::prompts::Part;

/// Parts in order. Clones are the same list; each try of a call reads it from its beginning.
#[derive(Debug, Clone)]
pub struct Parts(Arc<watch::Sender<List>>);

#[derive(Debug, Default)]
struct List {
    parts: Vec<Part>,
    completed_at: Option<Instant>,
}

impl Parts {
    /// All there are.
    pub fn whole(parts: Vec<Part>) -> Self {
        Self(Arc::new(watch::Sender::new(List { parts, completed_at: Some(Instant::now()) })))
    }

    /// None yet.
    pub fn growing() -> Self {
        Self(Arc::new(watch::Sender::new(List::default())))
    }

    /// One more.
    pub(crate) fn push(&self, part: Part) {
        self.0.send_modify(|list| list.parts.push(part));
    }

    /// That was the last.
    pub(crate) fn complete(&self) {
        self.0.send_modify(|list| list.completed_at = Some(Instant::now()));
    }

    /// When the last part was there; none before.
    pub fn completed_at(&self) -> Option<Instant> {
        self.0.borrow().completed_at
    }

    /// Waits for the last part.
    pub async fn completed(&self) {
        // It cannot fail: we hold the sender.
        let _ = self.0.subscribe().wait_for(|list| list.completed_at.is_some()).await;
    }

    /// Those that are there by now.
    pub fn so_far(&self) -> Vec<Part> {
        self.0.borrow().parts.clone()
    }

    /// All of them, as they come. Ends only after the last.
    pub fn stream(&self) -> impl Stream<Item = Part> + Send + use<> {
        stream::unfold((self.clone(), self.0.subscribe(), 0), |(parts, mut list, at)| async move {
            let next = {
                let there = list.wait_for(|list| list.parts.len() > at || list.completed_at.is_some()).await.ok()?;
                there.parts.get(at).cloned()?
            };
            Some((next, (parts, list, at + 1)))
        })
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;

    fn part(text: &str) -> Part {
        Part::Text(text.to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn every_reader_gets_all_parts_and_the_end_only_after_the_last() {
        let parts = Parts::growing();
        parts.push(part("a"));
        let mut early = Box::pin(parts.stream());
        assert_eq!(early.next().await, Some(part("a")));
        assert!(futures::poll!(early.next()).is_pending());
        parts.push(part("b"));
        assert_eq!(early.next().await, Some(part("b")));
        assert!(futures::poll!(early.next()).is_pending(), "it goes on until it is complete");
        parts.complete();
        assert_eq!(early.next().await, None);
        let late: Vec<Part> = parts.stream().collect().await;
        assert_eq!(late, [part("a"), part("b")]);
        assert_eq!(parts.completed_at(), Some(Instant::now()));
    }
}
