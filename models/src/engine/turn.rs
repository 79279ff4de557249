//! Engines take turns on the machine's cores, a step at a time.

use std::{
    fs::{File, TryLockError},
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use synod_kernels::Team;

/// A team of threads that several engines share. Each step is one engine's alone: the cores and the memory's bandwidth
/// are busy anyway, and two steps at once would only push each other out of the caches. Processes that use all cores take
/// turns in the same way.
#[derive(Debug)]
pub struct Compute {
    team: Arc<Team>,
    turns: Mutex<Turns>,
    next: Condvar,
    machine: Option<Mutex<MachineTurns>>,
}

#[derive(Debug, Default)]
struct Turns {
    taken: u64,
    served: u64,
}

impl Compute {
    /// A team of `threads`, 0 for one a core.
    pub fn new(threads: usize) -> Arc<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = if threads == 0 { cores } else { threads };
        let machine = if threads >= cores { MachineTurns::open().map(Mutex::new) } else { None };
        let team = Arc::new(Team::new(threads));
        Arc::new(Self { team, turns: Mutex::default(), next: Condvar::new(), machine })
    }

    /// The threads.
    pub fn team(&self) -> &Arc<Team> {
        &self.team
    }

    /// Waits for the turn, in order of asking.
    pub(crate) fn turn(&self) -> Turn<'_> {
        let mut turns = lock(&self.turns);
        let ticket = turns.taken;
        turns.taken += 1;
        while turns.served != ticket {
            turns = self.next.wait(turns).unwrap_or_else(PoisonError::into_inner);
        }
        drop(turns);
        let machine = self.machine.as_ref().map(lock).map(|mut machine| {
            machine.take();
            machine
        });
        Turn { compute: self, machine }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The turn; dropping it passes it on.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    compute: &'a Compute,
    machine: Option<MutexGuard<'a, MachineTurns>>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(mut machine) = self.machine.take() {
            machine.pass_on();
        }
        lock(&self.compute.turns).served += 1;
        self.compute.next.notify_all();
    }
}

/// Turns among the processes of one user: whoever holds the lock on `turn` computes, whoever holds that on `next` is next.
/// The second lock keeps a process from taking turn after turn. The system takes locks from processes that die; for one
/// that hangs nobody waits for long.
#[derive(Debug)]
struct MachineTurns {
    turn: File,
    next: File,
    /// Somebody has kept the turn for too long: it is not waited for until then.
    ignored_until: Option<Instant>,
}

/// Longer than any step takes.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long turns are ignored when somebody has kept one for longer than that.
const IGNORED: Duration = Duration::from_secs(5);
/// Between two looks.
const LOOK: Duration = Duration::from_micros(100);

impl MachineTurns {
    /// None where there is no place for the locks: then nobody waits.
    fn open() -> Option<Self> {
        let directory = match std::env::var_os("XDG_RUNTIME_DIR").filter(|directory| !directory.is_empty()) {
            Some(directory) => PathBuf::from(directory).join("synod"),
            None => std::env::temp_dir().join(format!("synod-{}", rustix::process::getuid().as_raw())),
        };
        std::fs::create_dir_all(&directory).ok()?;
        let open = |name| File::options().create(true).append(true).open(directory.join(name)).ok();
        Some(Self { turn: open("turn.lock")?, next: open("next.lock")?, ignored_until: None })
    }

    fn take(&mut self) {
        let now = Instant::now();
        if self.ignored_until.is_some_and(|until| now < until) {
            let _ = self.turn.try_lock(); // if it is free again, the better
            return;
        }
        let until = now + PATIENCE;
        let taken = lock_until(&self.next, until) && lock_until(&self.turn, until);
        let _ = self.next.unlock();
        self.ignored_until = (!taken).then(|| Instant::now() + IGNORED);
    }

    fn pass_on(&mut self) {
        let _ = self.turn.unlock();
    }
}

/// Takes a lock; false if it was not to be had until then.
fn lock_until(file: &File, until: Instant) -> bool {
    loop {
        match file.try_lock() {
            Ok(()) => return true,
            // Without locks there are no turns.
            Err(TryLockError::Error(_)) => return true,
            Err(TryLockError::WouldBlock) if Instant::now() >= until => return false,
            Err(TryLockError::WouldBlock) => std::thread::park_timeout(LOOK),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(directory: &std::path::Path) -> MachineTurns {
        let open = |name| File::options().create(true).append(true).open(directory.join(name)).unwrap();
        MachineTurns { turn: open("turn.lock"), next: open("next.lock"), ignored_until: None }
    }

    #[test]
    fn two_processes_alternate() {
        let directory = tempfile::tempdir().unwrap();
        let order = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for name in 0..2 {
                let (order, mut turns) = (&order, pair(directory.path()));
                scope.spawn(move || {
                    for _ in 0..50 {
                        turns.take();
                        order.lock().unwrap().push(name);
                        std::thread::park_timeout(Duration::from_millis(1));
                        turns.pass_on();
                    }
                });
            }
        });
        let order = order.into_inner().unwrap();
        let twice = order[10..60].windows(2).filter(|pair| pair[0] == pair[1]).count();
        assert!(twice < 25, "{order:?}");
    }

    #[test]
    fn one_that_hangs_is_waited_for_once() {
        let directory = tempfile::tempdir().unwrap();
        let (mut hanging, mut other) = (pair(directory.path()), pair(directory.path()));
        hanging.take();
        let begun = Instant::now();
        (0..100).for_each(|_| {
            other.take();
            other.pass_on();
        });
        assert!(begun.elapsed() >= PATIENCE && other.ignored_until.is_some());
        other.ignored_until = None;
        hanging.pass_on();
        other.take();
        assert!(other.ignored_until.is_none());
    }
}
