//! A small team of threads that runs the phases of a step.
//!
//! A phase is a number of items and a function of the item's index. Each thread begins with its own share of them, items
//! that lie side by side, and goes on with what is left of the others': memory streams in order, and nobody is waited for
//! who has not begun. The caller takes items too: a member that has not joined when the items run out is left out.
//! One that has joined and is stopped in the middle does hold the phase up; where that happens often, the caller works
//! alone for a while ([`Guard`]). Between phases members spin for some tens of microseconds, then sleep.

use std::{
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::*},
    },
    thread::{JoinHandle, Thread},
    time::Instant,
};

use crate::Isa;

mod guard;

use guard::Guard;

/// Turns of a spin loop before a member sleeps; about 50 µs.
const SPINS: u32 = 2_000;

/// A team of threads and the kernel tier they use.
pub struct Team {
    isa: Isa,
    shared: Arc<Shared>,
    members: Vec<(Thread, JoinHandle<()>)>,
    /// Held for a phase: one phase at a time.
    phase: Mutex<Guard>,
}

impl std::fmt::Debug for Team {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Team({} threads, {})", self.threads(), self.isa.name())
    }
}

struct Shared {
    /// Bit 63: a phase is open. Bits 32..63: its number. Bits 0..32: members at work in it.
    state: AtomicU64,
    shares: Box<[Share]>,
    job: Mutex<Job>,
    stop: AtomicBool,
    asleep: AtomicUsize,
}

/// The next item of one thread's share; on a cache line of its own, since each thread counts its own up.
#[derive(Default)]
#[repr(align(128))]
struct Share {
    next: AtomicUsize,
}

/// The open phase's work. Only read by members that joined it, and the phase is not over before they left.
#[derive(Clone, Copy)]
struct Job {
    items: usize,
    run: *const (dyn Fn(usize) + Sync),
}

// SAFETY: the pointer is only followed between joining and leaving a phase, while `Team::run` keeps the function alive.
unsafe impl Send for Job {}

const OPEN: u64 = 1 << 63;
const MEMBERS: u64 = (1 << 32) - 1;

impl Team {
    /// A team of `threads` (the caller is one of them) that uses the best tier of this machine.
    pub fn new(threads: usize) -> Self {
        Self::with_isa(threads, Isa::detect())
    }

    /// A team that uses `isa`, or the portable tier where the machine lacks it.
    pub fn with_isa(threads: usize, isa: Isa) -> Self {
        let isa = if isa.is_available() { isa } else { Isa::Portable };
        let idle: *const (dyn Fn(usize) + Sync) = &|_| ();
        let shared = Arc::new(Shared {
            state: AtomicU64::new(0),
            shares: (0..threads.max(1)).map(|_| Share::default()).collect(),
            job: Mutex::new(Job { items: 0, run: idle }),
            stop: AtomicBool::new(false),
            asleep: AtomicUsize::new(0),
        });
        let members = (1..threads.max(1))
            .filter_map(|index| {
                let shared = shared.clone();
                let builder = std::thread::Builder::new().name(format!("synod-team-{index}"));
                let handle = builder.spawn(move || member(&shared, index)).ok()?;
                Some((handle.thread().clone(), handle))
            })
            .collect();
        Self { isa, shared, members, phase: Mutex::new(Guard::new()) }
    }

    /// The tier in use.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Threads that take part, the caller included.
    pub fn threads(&self) -> usize {
        self.members.len() + 1
    }

    /// Runs `f(0) … f(items − 1)`, each once, in any order on any thread; returns when all are done.
    pub fn run(&self, items: usize, f: &(dyn Fn(usize) + Sync)) {
        if items <= 1 || self.members.is_empty() {
            return (0..items).for_each(f);
        }
        let mut guard = lock(&self.phase);
        if guard.alone(Instant::now) {
            return (0..items).for_each(f);
        }
        let shared = &*self.shared;
        // SAFETY: only the lifetime is erased: the phase is closed and empty before this function returns.
        let run = unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static (dyn Fn(usize) + Sync)>(f) };
        *lock(&shared.job) = Job { items, run };
        for (share, of) in shared.shares.iter().enumerate() {
            of.next.store(shared.share(share, items).start, Relaxed);
        }
        let number = ((shared.state.load(Relaxed) & !OPEN) >> 32) + 1;
        shared.state.store(OPEN | ((number << 32) & !OPEN), SeqCst);
        if shared.asleep.load(SeqCst) > 0 {
            self.members.iter().for_each(|(thread, _)| thread.unpark());
        }
        let closed = CloseOnDrop(shared);
        take_items(shared, 0, items, f);
        let done = Instant::now();
        drop(closed);
        guard.waited(done, Instant::now());
    }
}

/// Closes the phase and waits for those who joined, also when the caller's own item panics.
struct CloseOnDrop<'a>(&'a Shared);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.state.fetch_and(!OPEN, AcqRel);
        while self.0.state.load(Acquire) & MEMBERS > 0 {
            std::hint::spin_loop();
        }
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
        for (thread, handle) in self.members.drain(..) {
            thread.unpark();
            let _ = handle.join(); // a member that panicked has nothing left to do
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// The items of one share.
    fn share(&self, share: usize, items: usize) -> Range<usize> {
        let count = self.shares.len();
        items * share / count..items * (share + 1) / count
    }
}

/// Takes the items of the own share, then those that are left of the others'.
fn take_items(shared: &Shared, own: usize, items: usize, f: &(dyn Fn(usize) + Sync)) {
    let count = shared.shares.len();
    for share in (own..count).chain(0..own) {
        let end = shared.share(share, items).end;
        loop {
            let item = shared.shares[share].next.fetch_add(1, Relaxed);
            if item >= end {
                break;
            }
            f(item);
        }
    }
}

/// A member's life: wait for an open phase it has not been in, join, take items, leave.
fn member(shared: &Shared, index: usize) {
    let mut last = 0;
    let mut spins = 0;
    while !shared.stop.load(Relaxed) {
        let state = shared.state.load(Acquire);
        let number = (state & !OPEN) >> 32;
        if state & OPEN == 0 || number == last {
            spins += 1;
            if spins < SPINS {
                std::hint::spin_loop();
                continue;
            }
            shared.asleep.fetch_add(1, SeqCst);
            let state = shared.state.load(SeqCst);
            if (state & OPEN == 0 || (state & !OPEN) >> 32 == last) && !shared.stop.load(SeqCst) {
                std::thread::park();
            }
            shared.asleep.fetch_sub(1, SeqCst);
            spins = 0;
            continue;
        }
        if shared.state.compare_exchange(state, state + 1, AcqRel, Relaxed).is_ok() {
            (last, spins) = (number, 0);
            let leave = LeaveOnDrop(shared);
            let Job { items, run } = *lock(&shared.job);
            // SAFETY: we are counted in the open phase, so `Team::run` has not returned and the function lives.
            take_items(shared, index, items, unsafe { &*run });
            drop(leave);
        }
    }
}

/// Leaves the phase, also when an item panics.
struct LeaveOnDrop<'a>(&'a Shared);

impl Drop for LeaveOnDrop<'_> {
    fn drop(&mut self) {
        self.0.state.fetch_sub(1, AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_runs_once_in_every_phase() {
        let team = Team::new(3);
        for items in [0, 1, 2, 7, 64, 1000] {
            let counts: Vec<AtomicUsize> = (0..items).map(|_| AtomicUsize::new(0)).collect();
            team.run(items, &|i| {
                counts[i].fetch_add(1, SeqCst);
            });
            assert!(counts.iter().all(|c| c.load(SeqCst) == 1), "{items} items");
        }
    }

    #[test]
    fn many_short_phases_from_two_callers_lose_nothing() {
        let team = Team::new(2);
        let total = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..5_000 {
                        team.run(3, &|_| {
                            total.fetch_add(1, Relaxed);
                        });
                    }
                });
            }
        });
        assert_eq!(total.load(SeqCst), 2 * 5_000 * 3);
    }
}
