//! What an aggregator is doing, for the process that runs it: no network between, and nothing that it has to do for it.

use std::sync::{Arc, OnceLock, Weak};

use crate::{
    discovery::{Entry, NodeState, NodeStatus, Pool},
    members::Standing,
    runs::{RunState, RunSummary, Runner},
};

/// A look into an aggregator that [`serve_watched`](crate::serve_watched) serves. Shows nothing before it begins and after
/// it ended; clones show the same.
#[derive(Clone, Default)]
pub struct Window(Arc<OnceLock<(Weak<Runner>, Weak<Pool>)>>);

/// A node, and how each of its models does.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeView {
    /// Where it is.
    pub address: String,
    /// Whether it is used.
    pub state: NodeState,
    /// Why it is not used, where it isn't.
    pub error: String,
    /// By the order of its models.
    pub models: Vec<ModelView>,
}

/// A model on a node.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelView {
    /// Its name.
    pub name: String,
    /// Whether calls avoid it because they fail there.
    pub ejected: bool,
    /// How busy it is.
    pub standing: Standing,
}

impl Window {
    /// Looks into these from now on.
    pub(crate) fn open(&self, runner: &Arc<Runner>, pool: &Arc<Pool>) {
        // A second aggregator behind one window is not shown.
        let _ = self.0.set((Arc::downgrade(runner), Arc::downgrade(pool)));
    }

    /// Every node, in the order of discovery.
    pub fn nodes(&self) -> Vec<NodeView> {
        let Some(pool) = self.0.get().and_then(|(_, pool)| pool.upgrade()) else { return Vec::new() };
        pool.entries().into_iter().map(|entry| view(&pool, &entry)).collect()
    }

    /// The runs in flight, the newest first.
    pub fn runs(&self) -> Vec<RunSummary> {
        let Some(runner) = self.0.get().and_then(|(runner, _)| runner.upgrade()) else { return Vec::new() };
        runner.list(usize::MAX).into_iter().filter(|run| run.state == RunState::Running).collect()
    }
}

fn view(pool: &Pool, entry: &Entry) -> NodeView {
    let NodeStatus { state, error, models, .. } = entry.status();
    let model = |name: String| ModelView {
        ejected: pool.ejected(&name).iter().any(|address| address == entry.address()),
        standing: entry.load(&name).standing(),
        name,
    };
    let models = models.into_iter().map(|hosted| model(hosted.name)).collect();
    NodeView { address: entry.address().to_owned(), state, error, models }
}
