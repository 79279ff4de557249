//! The runs that this process remembers: those in flight and the last that ended.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use super::{events::Event, log::RunLog};
use crate::error::{Error, ErrorCode};

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// In flight.
    Running,
    /// It has an answer.
    Finished,
    /// It has none.
    Failed,
    /// Whoever asked went away.
    Cancelled,
}

/// A run in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunSummary {
    /// Its id.
    pub run_id: String,
    /// What it ran through.
    pub topology: String,
    /// On whose behalf; empty for nobody in particular.
    pub tenant: String,
    /// When it began.
    pub began: SystemTime,
    /// Where it stands.
    pub state: RunState,
    /// How long it took, or has taken.
    pub total: Duration,
    /// Whether something was lost or cut.
    pub degraded: bool,
    /// Why it failed.
    pub error: String,
}

/// A run with all that happened in it, deltas joined into the texts of the seats.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRecord {
    /// Its line in a list.
    pub summary: RunSummary,
    /// Its events.
    pub events: Vec<Event>,
}

/// Bounded by runs and by bytes; the oldest that ended go first. Those in flight stay: their number has its own limit.
pub(super) struct Registry {
    max_runs: usize,
    max_bytes: usize,
    runs: Mutex<VecDeque<Arc<RunLog>>>,
}

impl Registry {
    pub(super) fn new(max_runs: usize, max_bytes: usize) -> Self {
        Self { max_runs, max_bytes, runs: Mutex::default() }
    }

    /// Remembers a new run.
    pub(super) fn add(&self, log: Arc<RunLog>) -> Result<(), Error> {
        let mut runs = self.lock();
        if runs.iter().any(|known| known.run_id() == log.run_id()) {
            let message = format!("there is a run {} already: choose another id, or leave it empty", log.run_id());
            return Err(Error::new(ErrorCode::RunExists, message));
        }
        runs.push_back(log);
        Ok(())
    }

    /// Forgets what is over the limits; called when a run ends.
    pub(super) fn trim(&self) {
        let mut runs = self.lock();
        let ended = |log: &Arc<RunLog>| log.has_ended();
        let mut count = runs.iter().filter(|log| ended(log)).count();
        let mut bytes: usize = runs.iter().map(|log| log.bytes()).sum();
        while count > self.max_runs || (bytes > self.max_bytes && count > 1) {
            let Some(oldest) = runs.iter().position(ended) else { break };
            bytes -= runs.remove(oldest).map_or(0, |log| log.bytes()).min(bytes);
            count -= 1;
        }
    }

    /// The newest first.
    pub(super) fn list(&self, limit: usize) -> Vec<RunSummary> {
        self.lock().iter().rev().take(limit).map(|log| log.summary()).collect()
    }

    pub(super) fn get(&self, run_id: &str) -> Result<RunRecord, Error> {
        let found = self.lock().iter().find(|log| log.run_id() == run_id).cloned();
        let missing = || Error::new(ErrorCode::RunNotFound, format!("no run \"{run_id}\" is remembered here"));
        Ok(found.ok_or_else(missing)?.record())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Arc<RunLog>>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
