//! What happened, as nodes and askers write it down.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use synod_aggregator::{ErrorCode, events::Event};

use crate::node::Act;

/// One hand for all that write.
#[derive(Clone, Default)]
pub(crate) struct Shared(Arc<Mutex<World>>);

#[derive(Debug, Default)]
pub(crate) struct World {
    /// Calls by number, in order of arrival.
    pub(crate) calls: Vec<Call>,
    /// Runs by id.
    pub(crate) runs: BTreeMap<String, Run>,
    /// Answers being written at each node.
    pub(crate) open: BTreeMap<usize, usize>,
    /// The same, long after the last run.
    pub(crate) open_at_end: BTreeMap<usize, usize>,
    /// What should never happen, where it was seen to happen.
    pub(crate) broken: Vec<String>,
    /// Calls to nodes that are otherwise left alone.
    pub(crate) probes: usize,
    pub(crate) picks: usize,
}

/// One call as its node saw it.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) node: usize,
    pub(crate) model: String,
    pub(crate) run_id: String,
    pub(crate) act: Act,
    pub(crate) arrived: Duration,
    /// Numbers of the calls whose text its prompt has.
    pub(crate) quotes: Vec<usize>,
    pub(crate) last_wrote: Option<Duration>,
    /// All of its text was sent, with the word that this is all.
    pub(crate) is_whole: bool,
}

/// One run as whoever asked saw it.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) began: Duration,
    pub(crate) ended: Duration,
    pub(crate) deadline: Duration,
    /// Whoever asked left before the end.
    pub(crate) left: bool,
    pub(crate) events: Vec<Event>,
    pub(crate) error: Option<ErrorCode>,
    /// What came after the end.
    pub(crate) after_end: usize,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    pub(crate) fn take(self) -> World {
        std::mem::take(&mut *self.lock())
    }
}

impl World {
    /// What is still open now should not be.
    pub(crate) fn note_open(&mut self) {
        self.open_at_end = self.open.clone();
    }

    /// What a replay must have in common: who was asked what, when, and how runs ended.
    pub(crate) fn trace(&self) -> Vec<String> {
        let call = |call: &Call| {
            let Call { node, model, run_id, act, arrived, quotes, last_wrote, .. } = call;
            format!("{arrived:?} {run_id} {model}@{node} {act:?} {quotes:?} {last_wrote:?}")
        };
        let run = |(id, run): (&String, &Run)| format!("{id} {:?}..{:?} {:?}", run.began, run.ended, run.events.last());
        self.calls.iter().map(call).chain(self.runs.iter().map(run)).collect()
    }
}

/// The time that all hosts share.
pub(crate) fn now() -> Duration {
    turmoil::sim_elapsed().unwrap_or_default()
}
