//! Which node: the load of each as this process sees it, and the order that makes of them.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// How long a failure is held against a node.
const MEMORY: Duration = Duration::from_secs(10);

/// What this process has in flight on a node, and how that went.
#[derive(Debug, Default)]
pub(crate) struct Load {
    in_flight: AtomicUsize,
    last_failure: Mutex<Option<Instant>>,
}

impl Load {
    /// Counts one more call until the lease is dropped.
    pub(crate) fn lease(self: &Arc<Self>) -> Lease {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Lease { load: Some(Arc::clone(self)) }
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(crate) fn failed_lately(&self) -> bool {
        let last = *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|at| at.elapsed() < MEMORY)
    }
}

/// A call in flight on a node.
#[derive(Debug)]
pub struct Lease {
    load: Option<Arc<Load>>,
}

impl Lease {
    /// A lease of a node whose load nobody counts.
    pub fn uncounted() -> Self {
        Self { load: None }
    }

    /// Holds a failure against the node for a while.
    pub(crate) fn failed(&self) {
        self.note(Some(Instant::now()));
    }

    /// The node answered: what was before is forgiven.
    pub(crate) fn succeeded(&self) {
        self.note(None);
    }

    fn note(&self, failure: Option<Instant>) {
        if let Some(load) = &self.load {
            *load.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(load) = &self.load {
            load.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// A node that could answer, as the choice sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct View {
    pub(super) tried: bool,
    pub(super) failed_lately: bool,
    pub(super) in_flight: usize,
}

/// The best of them: not tried before tried, well before ailing, idle before busy; equals take turns.
pub(super) fn choose(views: &[View], turn: usize) -> Option<usize> {
    let count = views.len();
    let rank = |at: &usize| {
        let view = &views[*at];
        // The first node at or after the turn comes first among equals.
        (view.tried, view.failed_lately, view.in_flight, (at + count - turn % count) % count)
    };
    (0..count).min_by_key(rank)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: View = View { tried: false, failed_lately: false, in_flight: 0 };

    #[test]
    fn untried_comes_before_well_before_idle_and_equals_take_turns() {
        let tried = View { tried: true, ..IDLE };
        let ailing = View { failed_lately: true, ..IDLE };
        let busy = View { in_flight: 2, ..IDLE };
        assert_eq!(choose(&[], 0), None);
        assert_eq!(choose(&[tried, ailing], 0), Some(1));
        assert_eq!(choose(&[ailing, busy], 0), Some(1));
        assert_eq!(choose(&[busy, IDLE], 0), Some(1));
        let turns: Vec<_> = (0..4).map(|turn| choose(&[IDLE, IDLE, IDLE], turn)).collect();
        assert_eq!(turns, [Some(0), Some(1), Some(2), Some(0)]);
    }

    #[test]
    fn a_dropped_lease_is_no_load() {
        let load = Arc::new(Load::default());
        let leases = [load.lease(), load.lease()];
        assert_eq!(load.in_flight(), 2);
        drop(leases);
        assert_eq!(load.in_flight(), 0);
    }
}
