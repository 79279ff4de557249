//! Keeps a team from being slower than its caller alone on a busy machine.
//!
//! A phase ends when its slowest thread does. Where other programs want the same cores, a thread is taken off its core for
//! milliseconds while the others wait for its last item; on a phase of some tens of microseconds that is a disaster.

use std::time::{Duration, Instant};

/// Phases after which the share of waiting is judged.
const WINDOW: u32 = 64;
/// The share of time that may be spent waiting for others.
const TOLERATED: f64 = 0.25;
/// A wait that only a thread without a core can cause.
const STOPPED: Duration = Duration::from_micros(1_500);
/// How long the caller works alone at first, and at most.
const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(2);

/// What a team has seen of waiting.
#[derive(Debug)]
pub(super) struct Guard {
    phases: u32,
    window: Option<Instant>,
    waited: Duration,
    alone_until: Option<Instant>,
    /// How long the next time alone is.
    alone_for: Duration,
}

impl Guard {
    pub(super) fn new() -> Self {
        Self { phases: 0, window: None, waited: Duration::ZERO, alone_until: None, alone_for: SHORTEST }
    }

    /// Whether the caller should do the phase that begins now without the others.
    pub(super) fn alone(&mut self, now: impl FnOnce() -> Instant) -> bool {
        let Some(until) = self.alone_until else { return false };
        if now() < until {
            return true;
        }
        self.alone_until = None;
        self.begin_window();
        false
    }

    /// A phase is over; the caller had nothing to do since `done`.
    pub(super) fn waited(&mut self, done: Instant, now: Instant) {
        let waited = now.duration_since(done);
        let began = *self.window.get_or_insert(done);
        self.waited += waited;
        self.phases += 1;
        let total = now.duration_since(began);
        if waited > STOPPED {
            self.work_alone(now);
        } else if self.phases >= WINDOW {
            if self.waited.as_secs_f64() > total.as_secs_f64() * TOLERATED {
                self.work_alone(now);
            } else {
                self.alone_for = SHORTEST;
                self.begin_window();
            }
        }
    }

    fn work_alone(&mut self, now: Instant) {
        self.alone_until = Some(now + self.alone_for);
        self.alone_for = (self.alone_for * 2).min(LONGEST);
    }

    fn begin_window(&mut self) {
        (self.phases, self.window, self.waited) = (0, None, Duration::ZERO);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn a_long_wait_sends_the_caller_off_alone_and_longer_each_time() {
        let (mut guard, start) = (Guard::new(), Instant::now());
        assert!(!guard.alone(|| start));
        guard.waited(start, start + 3 * MILLISECOND);
        assert!(guard.alone(|| start + 4 * MILLISECOND));
        let again = start + 4 * MILLISECOND + SHORTEST;
        assert!(!guard.alone(|| again), "it tries again");
        guard.waited(again, again + 3 * MILLISECOND);
        assert!(guard.alone(|| again + 4 * MILLISECOND + SHORTEST));
    }

    /// Phases of 20 µs of work and `wait` of waiting.
    fn phases(wait: Duration) -> Guard {
        let (mut guard, mut now) = (Guard::new(), Instant::now());
        for _ in 0..2 * WINDOW {
            let done = now + Duration::from_micros(20);
            now = done + wait;
            guard.waited(done, now);
        }
        guard
    }

    #[test]
    fn short_waits_are_nothing_unless_they_are_most_of_the_time() {
        assert_eq!(phases(Duration::from_micros(2)).alone_until, None);
        assert!(phases(Duration::from_micros(20)).alone_until.is_some());
    }
}
