//! All nodes that exist, each watched by a task of its own.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use futures::StreamExt;
use tokio::{
    sync::watch,
    task::{AbortHandle, JoinHandle, JoinSet},
    time::{sleep, timeout, timeout_at},
};

use super::{Discovery, Entry, NodeState, NodeStatus, Transport, Update, look::keep_looking};
use crate::{limits::Limits, members::Chooser};

/// The most nodes; more are ignored, with a word in the log.
const MAX_NODES: usize = 1024;
/// Between two looks at a node that is waited for.
const AGAIN: Duration = Duration::from_millis(50);

/// One node as `ListNodes` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeInfo {
    /// Where it is.
    pub address: String,
    /// How it does.
    pub status: NodeStatus,
}

/// The nodes. Dropping it ends the tasks that watch them.
pub struct Pool {
    shared: Arc<Shared>,
    chooser: Chooser,
    supervisor: JoinHandle<()>,
}

struct Shared {
    limits: Limits,
    transport: Transport,
    seed: u64,
    nodes: RwLock<Nodes>,
    /// Moves with every look and every update.
    changes: watch::Sender<()>,
}

#[derive(Default)]
struct Nodes {
    entries: Vec<Arc<Entry>>,
    /// Whether discovery has said anything yet.
    known: bool,
}

impl Pool {
    /// Begins to follow a discovery and to look at what it names, in the clear.
    pub fn start(discovery: Box<dyn Discovery>, limits: Limits) -> Self {
        Self::start_over(discovery, Transport::insecure(), limits)
    }

    /// The same, over this transport.
    pub fn start_over(discovery: Box<dyn Discovery>, transport: Transport, limits: Limits) -> Self {
        Self::start_seeded(discovery, transport, limits, rand::random())
    }

    /// The same, with its own draws among many nodes from this seed.
    pub fn start_seeded(discovery: Box<dyn Discovery>, transport: Transport, limits: Limits, seed: u64) -> Self {
        let chooser = Chooser::new(&limits, seed);
        let shared =
            Arc::new(Shared { limits, transport, seed, nodes: RwLock::default(), changes: watch::channel(()).0 });
        let supervisor = tokio::spawn(supervise(discovery, Arc::clone(&shared)));
        Self { shared, chooser, supervisor }
    }

    /// Every node and how it does, in the order of discovery.
    pub fn list(&self) -> Vec<NodeInfo> {
        let info = |entry: Arc<Entry>| NodeInfo { address: entry.address().to_owned(), status: entry.status() };
        self.entries().into_iter().map(info).collect()
    }

    pub(crate) fn entries(&self) -> Vec<Arc<Entry>> {
        self.shared.read().entries.clone()
    }

    /// Calls that are under way, on all nodes.
    pub(crate) fn in_flight(&self) -> usize {
        self.entries().iter().map(|entry| entry.in_flight()).sum()
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    pub(crate) fn entry(&self, address: &str) -> Option<Arc<Entry>> {
        self.shared.read().entries.iter().find(|entry| entry.address() == address).cloned()
    }

    pub(crate) fn chooser(&self) -> &Chooser {
        &self.chooser
    }

    /// Waits for a node that hosts the model and went away just now, as nodes do that are restarted one after the other, as
    /// long as the limits expect it back. False at once where none is expected.
    pub(crate) async fn back(&self, model: &str) -> bool {
        let wait = self.shared.limits.return_wait;
        let mut changes = self.shared.changes.subscribe();
        while let Some(until) = self.entries().iter().filter_map(|entry| entry.expected_until(model, wait)).max() {
            let entries = self.entries();
            if entries.iter().any(|entry| entry.hosts(model)) {
                return true;
            }
            entries
                .iter()
                .filter(|entry| entry.status().state != NodeState::Ready)
                .for_each(|entry| entry.look_again());
            let look = async {
                let _ = changes.changed().await; // its sender lives as long as this pool
                sleep(AGAIN).await;
            };
            let _ = timeout_at(until, look).await;
        }
        self.entries().iter().any(|entry| entry.hosts(model))
    }

    /// Waits until every node has been looked at once, for as long as the limits say.
    pub(crate) async fn first_look(&self) {
        let mut changes = self.shared.changes.subscribe();
        let looking = async { while !self.shared.all_looked_at() && changes.changed().await.is_ok() {} };
        if timeout(self.shared.limits.first_look, looking).await.is_err() {
            tracing::warn!("some nodes have not answered a first look in time");
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // Ends its watchers too: they are in a set that it owns.
        self.supervisor.abort();
    }
}

impl Shared {
    fn read(&self) -> std::sync::RwLockReadGuard<'_, Nodes> {
        self.nodes.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn all_looked_at(&self) -> bool {
        let nodes = self.read();
        nodes.known && nodes.entries.iter().all(|entry| entry.status().looked_at)
    }
}

async fn supervise(discovery: Box<dyn Discovery>, shared: Arc<Shared>) {
    let mut updates = discovery.updates();
    let mut watchers = Watchers { tasks: JoinSet::new(), by_address: Vec::new() };
    loop {
        tokio::select! {
            biased;
            update = updates.next() => match update {
                Some(update) => apply(update, &shared, &mut watchers),
                None => break,
            },
            Some(ended) = watchers.tasks.join_next() => report(ended),
        }
    }
    // Discovery has no more to say: what it said last holds.
    while let Some(ended) = watchers.tasks.join_next().await {
        report(ended);
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "the task that watches a node died");
    }
}

struct Watchers {
    tasks: JoinSet<()>,
    by_address: Vec<(String, AbortHandle)>,
}

fn apply(update: Update, shared: &Arc<Shared>, watchers: &mut Watchers) {
    match update {
        Update::Reset(addresses) => {
            let gone: Vec<String> = watchers.by_address.iter().map(|(address, _)| address.clone()).collect();
            gone.iter().filter(|address| !addresses.contains(address)).for_each(|gone| remove(gone, shared, watchers));
            addresses.iter().for_each(|address| add(address, shared, watchers));
        }
        Update::Add(address) => add(&address, shared, watchers),
        Update::Remove(address) => remove(&address, shared, watchers),
    }
    shared.nodes.write().unwrap_or_else(PoisonError::into_inner).known = true;
    shared.changes.send_replace(());
}

fn add(address: &str, shared: &Arc<Shared>, watchers: &mut Watchers) {
    if watchers.by_address.iter().any(|(known, _)| known == address) {
        return;
    }
    if watchers.by_address.len() >= MAX_NODES {
        tracing::warn!(address, limit = MAX_NODES, "ignoring a node beyond the limit");
        return;
    }
    let entry = Arc::new(Entry::new(address, &shared.transport, &shared.limits));
    shared.nodes.write().unwrap_or_else(PoisonError::into_inner).entries.push(Arc::clone(&entry));
    let changed = {
        let shared = Arc::clone(shared);
        move || {
            shared.changes.send_replace(());
        }
    };
    let task = watchers.tasks.spawn(keep_looking(entry, shared.limits.clone(), shared.seed, changed));
    watchers.by_address.push((address.to_owned(), task));
}

fn remove(address: &str, shared: &Arc<Shared>, watchers: &mut Watchers) {
    let mut nodes = shared.nodes.write().unwrap_or_else(PoisonError::into_inner);
    nodes.entries.retain(|entry| entry.address() != address);
    watchers.by_address.retain(|(known, task)| {
        if known == address {
            task.abort();
        }
        known != address
    });
}
