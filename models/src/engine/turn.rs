//! Engines of one process take turns on its cores, a step at a time.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use synod_kernels::Team;

/// A team of threads that several engines share. Each step is one engine's alone: the cores and the memory's bandwidth
/// are busy anyway, and two steps at once would only push each other out of the caches.
#[derive(Debug)]
pub struct Compute {
    team: Arc<Team>,
    turns: Mutex<Turns>,
    next: Condvar,
}

#[derive(Debug, Default)]
struct Turns {
    taken: u64,
    served: u64,
}

impl Compute {
    /// A team of `threads`, 0 for one a core.
    pub fn new(threads: usize) -> Arc<Self> {
        let threads = match threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        };
        Arc::new(Self { team: Arc::new(Team::new(threads)), turns: Mutex::default(), next: Condvar::new() })
    }

    /// The threads.
    pub fn team(&self) -> &Arc<Team> {
        &self.team
    }

    /// Waits for the turn, in order of asking.
    pub(crate) fn turn(&self) -> Turn<'_> {
        let mut turns = self.lock();
        let ticket = turns.taken;
        turns.taken += 1;
        while turns.served != ticket {
            turns = self.next.wait(turns).unwrap_or_else(PoisonError::into_inner);
        }
        Turn(self)
    }

    fn lock(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The turn; dropping it passes it on.
#[derive(Debug)]
pub(crate) struct Turn<'a>(&'a Compute);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.lock().served += 1;
        self.0.next.notify_all();
    }
}
