//! Whether a model on a node is worth asking: out after failures, and back by way of one probe.

use std::time::Duration;

use tokio::time::Instant;

use super::window::Window;
use crate::limits::Limits;

/// The span in which the share of failures is counted.
const SPAN: Duration = Duration::from_secs(10);
/// Fewer calls than this in the span say nothing about a share.
const ENOUGH: u32 = 10;

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    consecutive: u32,
    share: f64,
    first: Duration,
    longest: Duration,
}

impl From<&Limits> for Rules {
    fn from(limits: &Limits) -> Self {
        Self {
            consecutive: limits.failures_in_a_row,
            share: limits.failure_share,
            first: limits.ejection,
            longest: limits.ejection_max,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Calls go through.
    Closed { since: Instant },
    /// None do, until then; from then on one, as a probe.
    Open { since: Instant, until: Instant },
    /// The probe is under way.
    Probing { since: Instant },
}

/// The breaker of one model on one node. It says what should be; how many may be out at once is not for it to say.
#[derive(Debug)]
pub(super) struct Breaker {
    rules: Rules,
    state: State,
    in_a_row: u32,
    /// Successes, and failures.
    window: Window,
    /// How often it opened lately: each time it stays open longer.
    times: u32,
}

impl Breaker {
    pub(super) fn new(rules: Rules) -> Self {
        let state = State::Closed { since: Instant::now() };
        Self { rules, state, in_a_row: 0, window: Window::new(SPAN), times: 0 }
    }

    /// Since when calls should go elsewhere; a probe may be due all the same.
    pub(super) fn open_since(&self) -> Option<Instant> {
        match self.state {
            State::Closed { .. } => None,
            State::Open { since, .. } | State::Probing { since } => Some(since),
        }
    }

    /// Whether it waits for a probe.
    pub(super) fn is_probe_due(&self) -> bool {
        matches!(self.state, State::Open { until, .. } if until <= Instant::now())
    }

    /// Makes the next call the probe. Whoever makes it tells how it ends, or that it never will.
    pub(super) fn begin_probe(&mut self) {
        if let State::Open { since, .. } = self.state {
            self.state = State::Probing { since };
        }
    }

    /// The probe was given up without a verdict: another may be made at once.
    pub(super) fn abandon_probe(&mut self) {
        if let State::Probing { since } = self.state {
            self.state = State::Open { since, until: Instant::now() };
        }
    }

    /// The node is another process by now: it need not wait for its probe.
    pub(super) fn restarted(&mut self) {
        if let State::Open { since, .. } = self.state {
            self.state = State::Open { since, until: Instant::now() };
        }
    }

    /// A call that began then was answered.
    pub(super) fn succeeded(&mut self, began: Instant, is_probe: bool) {
        self.in_a_row = 0;
        self.window.add_first();
        // An answer to a call from before it opened says nothing new; one since then says that it works.
        if is_probe || self.open_since().is_some_and(|since| began >= since) {
            self.state = State::Closed { since: Instant::now() };
            self.window = Window::new(SPAN);
        }
    }

    /// A call failed; whether calls should go elsewhere because of it.
    pub(super) fn failed(&mut self, is_probe: bool) -> bool {
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.window.add_second();
        let is_too_much = self.is_too_much();
        let well = match self.state {
            State::Closed { since } if is_too_much => since.elapsed(),
            State::Probing { .. } if is_probe => Duration::ZERO,
            _ => return false,
        };
        self.open(well);
        true
    }

    fn is_too_much(&mut self) -> bool {
        let (good, bad) = self.window.sums();
        let all = good.saturating_add(bad);
        self.in_a_row >= self.rules.consecutive
            || (all >= ENOUGH && f64::from(bad) >= self.rules.share * f64::from(all))
    }

    /// Each time for longer; a time is forgiven for each first span that it was well.
    fn open(&mut self, well: Duration) {
        let forgiven = well.as_nanos() / self.rules.first.as_nanos().max(1);
        self.times = self.times.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX)).saturating_add(1);
        let now = Instant::now();
        self.state = State::Open { since: now, until: now + (self.rules.first * self.times).min(self.rules.longest) };
        self.in_a_row = 0;
    }
}

/// Which of these may be out: as many as the share allows, those open longest first, and never all.
pub(super) fn ejected(open_since: &[Option<Instant>], share: f64) -> Vec<bool> {
    let count = open_since.len();
    let mut open: Vec<usize> = (0..count).filter(|at| open_since[*at].is_some()).collect();
    open.sort_by_key(|at| open_since[*at]);
    // With few nodes a share of them is less than one: one may always be out, if another is there.
    let most = (0..count).filter(|at| (at + 1) as f64 <= share * count as f64).count().max(1);
    open.truncate(most.min(count.saturating_sub(1)));
    (0..count).map(|at| open.contains(&at)).collect()
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    impl Breaker {
        fn is_open(&self) -> bool {
            self.open_since().is_some()
        }
    }

    fn breaker() -> Breaker {
        Breaker::new(Rules { consecutive: 5, share: 0.5, first: 30 * SECOND, longest: 70 * SECOND })
    }

    fn fail(breaker: &mut Breaker, times: usize) {
        for _ in 0..times {
            breaker.failed(false);
        }
    }

    /// Seconds until a probe is due.
    async fn wait_for_probe(breaker: &Breaker) -> u64 {
        for second in 0..1000 {
            if breaker.is_probe_due() {
                return second;
            }
            advance(SECOND).await;
        }
        panic!("it never comes back");
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_open_it_and_a_success_between_does_not() {
        let mut breaker = breaker();
        fail(&mut breaker, 4);
        breaker.succeeded(Instant::now(), false);
        fail(&mut breaker, 4);
        assert!(!breaker.is_open());
        breaker.failed(false);
        assert!(breaker.is_open() && !breaker.is_probe_due());
    }

    #[tokio::test(start_paused = true)]
    async fn half_of_enough_calls_failing_opens_it() {
        let mut breaker = breaker();
        for _ in 0..5 {
            assert!(!breaker.is_open());
            breaker.succeeded(Instant::now(), false);
            breaker.failed(false);
        }
        assert!(breaker.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn one_probe_closes_it_or_keeps_it_open_longer_each_time_up_to_a_limit() {
        let mut breaker = breaker();
        fail(&mut breaker, 5);
        let mut waits = Vec::new();
        for _ in 0..3 {
            waits.push(wait_for_probe(&breaker).await);
            breaker.begin_probe();
            assert!(!breaker.is_probe_due(), "one at a time");
            breaker.failed(true);
        }
        assert_eq!(waits, [30, 60, 70]);
        advance(70 * SECOND).await;
        breaker.begin_probe();
        breaker.succeeded(Instant::now(), true);
        assert!(!breaker.is_open());
        // It was well for long: the times before are forgotten.
        advance(600 * SECOND).await;
        fail(&mut breaker, 5);
        assert_eq!(wait_for_probe(&breaker).await, 30);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_without_a_verdict_makes_room_for_another() {
        let mut breaker = breaker();
        fail(&mut breaker, 5);
        advance(30 * SECOND).await;
        breaker.begin_probe();
        breaker.abandon_probe();
        assert!(breaker.is_open() && breaker.is_probe_due());
    }

    #[tokio::test(start_paused = true)]
    async fn answers_from_before_it_opened_do_not_close_it() {
        let mut breaker = breaker();
        let before = Instant::now();
        advance(SECOND).await;
        fail(&mut breaker, 5);
        breaker.succeeded(before, false);
        assert!(breaker.is_open());
        breaker.succeeded(Instant::now(), false);
        assert!(!breaker.is_open(), "the last node of a model is asked although it is open");
    }

    #[tokio::test(start_paused = true)]
    async fn a_restarted_node_is_probed_at_once() {
        let mut breaker = breaker();
        fail(&mut breaker, 5);
        breaker.restarted();
        assert!(breaker.is_open() && breaker.is_probe_due());
    }

    #[tokio::test(start_paused = true)]
    async fn the_share_that_is_out_is_limited_and_the_last_never_is() {
        let now = Instant::now();
        let (early, late) = (Some(now), Some(now + SECOND));
        assert_eq!(ejected(&[], 0.5), [] as [bool; 0]);
        assert_eq!(ejected(&[early], 1.0), [false]);
        assert_eq!(ejected(&[late, early], 1.0), [false, true]);
        assert_eq!(ejected(&[early, None], 0.1), [true, false]);
        assert_eq!(ejected(&[late, early, None], 0.5), [false, true, false]);
        assert_eq!(ejected(&[late, early, None, None], 0.5), [true, true, false, false]);
    }
}
