//! The promise, the same for all.

use std::{collections::BTreeSet, time::Duration};

use futures::{StreamExt, stream::BoxStream};
use synod_aggregator::discovery::{Discovery, Update};
use tokio::time::timeout;

/// Far more than any backend needs; a test that waits for it has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A backend, and the world behind it.
pub(crate) trait Backend {
    /// From now on these exist.
    async fn set(&mut self, nodes: &[&str]);
    /// Someone who wants to know.
    fn discovery(&self) -> Box<dyn Discovery>;
    /// The world cannot be asked any more; returns when somebody has tried.
    async fn go_away(&mut self);
    /// It can again.
    async fn come_back(&mut self);
}

const A: &str = "10.0.0.1:7610";
const B: &str = "10.0.0.2:7610";
const C: &str = "10.0.0.3:7610";

pub(crate) async fn check(mut backend: impl Backend) {
    backend.set(&[A, B]).await;
    let mut follower = Follower::of(&backend);
    follower.until(&[A, B]).await;
    assert_eq!(follower.heard.first(), Some(&Update::Reset(vec![A.to_owned(), B.to_owned()])), "begins with a reset");

    backend.set(&[A, B, C]).await;
    follower.until(&[A, B, C]).await;
    backend.set(&[B, C]).await;
    follower.until(&[B, C]).await;

    // Away and back: nobody was lost, and what changed since is heard.
    follower.heard.clear();
    follower.listen_while(backend.go_away()).await;
    backend.come_back().await;
    backend.set(&[A, B, C]).await;
    follower.until(&[A, B, C]).await;
    assert_eq!(follower.heard, [Update::Add(A.to_owned())], "an absence is no change");

    let mut late = Follower::of(&backend);
    late.until(&[A, B, C]).await;
    assert_eq!(late.heard.len(), 1, "who comes late hears it all at once");

    backend.set(&[]).await;
    follower.until(&[]).await;
}

struct Follower {
    updates: BoxStream<'static, Update>,
    heard: Vec<Update>,
    nodes: BTreeSet<String>,
}

impl Follower {
    fn of(backend: &impl Backend) -> Self {
        Self { updates: backend.discovery().updates(), heard: Vec::new(), nodes: BTreeSet::new() }
    }

    /// Listens until exactly these exist.
    async fn until(&mut self, expected: &[&str]) {
        let expected: BTreeSet<_> = expected.iter().map(|node| (*node).to_owned()).collect();
        while self.heard.is_empty() || self.nodes != expected {
            let next = timeout(PATIENCE, self.updates.next()).await;
            let update = next.unwrap_or_else(|_| panic!("{expected:?} expected, {:?} heard", self.heard));
            self.hear(update.unwrap());
        }
    }

    /// A stream that nobody listens to asks nobody.
    async fn listen_while(&mut self, event: impl Future<Output = ()>) {
        let listening = async {
            while let Some(update) = self.updates.next().await {
                self.heard.push(update);
            }
        };
        tokio::select! {
            () = listening => panic!("a discovery never ends"),
            happened = timeout(PATIENCE, event) => happened.expect("nobody asked"),
        }
    }

    fn hear(&mut self, update: Update) {
        self.heard.push(update.clone());
        match update {
            Update::Reset(nodes) => self.nodes = nodes.into_iter().collect(),
            Update::Add(node) => drop(self.nodes.insert(node)),
            Update::Remove(node) => drop(self.nodes.remove(&node)),
        }
    }
}
