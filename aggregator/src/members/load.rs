//! One model on one node, as this process knows it: calls in flight, speed, health, and what it has read.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{
    Usage,
    breaker::{Breaker, Rules},
    pace::Pace,
    prefix::{Fingerprint, Remembered},
    speed::{Measured, Speed, average},
};

/// How long a failure is held against a node.
const MEMORY: Duration = Duration::from_secs(10);
/// What a failure just now costs a node in the choice, as if one had to wait that much longer there.
const PENALTY: Duration = Duration::from_secs(5);
/// How long a node that is full is left alone where it does not say.
const FULL: Duration = Duration::from_secs(1);
/// How far a node is believed to still have what it read.
const TRUST: f64 = 0.8;

/// What a node says of a model.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Announced {
    /// Sequences that decode or wait, whoever asked for them.
    pub(crate) busy: usize,
    /// Sequences that decode together; 0 where it does not say.
    pub(crate) max_running: usize,
    /// Prompt tokens a second; 0 where it does not say.
    pub(crate) prefill_tok_s: f64,
    /// Tokens written a second; 0 where it does not say.
    pub(crate) decode_tok_s: f64,
}

/// How busy a model is on a node, as far as is known here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Sequences that decode or wait there, whoever asked for them.
    pub busy: usize,
    /// Sequences that decode together; 0 where the node does not say.
    pub slots: usize,
    /// Tokens that were written for this process since it began.
    pub written: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Load(Mutex<State>);

#[derive(Debug)]
pub(super) struct State {
    pub(super) in_flight: usize,
    /// What others had in flight there at the last look.
    pub(super) others: usize,
    pub(super) max_running: usize,
    pub(super) speed: Speed,
    pub(super) breaker: Breaker,
    read: Remembered,
    /// The part of what it should still have had that it had.
    trust: Option<f64>,
    last_failure: Option<Instant>,
    full_until: Option<Instant>,
    written: u64,
}

impl Load {
    pub(crate) fn new(rules: Rules) -> Self {
        Self(Mutex::new(State {
            in_flight: 0,
            others: 0,
            max_running: 0,
            speed: Speed::default(),
            breaker: Breaker::new(rules),
            read: Remembered::default(),
            trust: None,
            last_failure: None,
            full_until: None,
            written: 0,
        }))
    }

    /// Counts tokens that came from there.
    pub(super) fn wrote(&self, tokens: u32) {
        let mut state = self.lock();
        state.written = state.written.saturating_add(tokens.into());
    }

    /// How busy it is.
    pub(crate) fn standing(&self) -> Standing {
        let state = self.lock();
        Standing { busy: state.busy(), slots: state.max_running, written: state.written }
    }

    /// Takes what the node says of itself into account.
    pub(crate) fn announced(&self, announced: Announced) {
        let mut state = self.lock();
        state.others = announced.busy.saturating_sub(state.in_flight);
        state.max_running = announced.max_running;
        state.speed.announced(announced.prefill_tok_s, announced.decode_tok_s);
    }

    /// It is back after it was away.
    pub(crate) fn restarted(&self) {
        let mut state = self.lock();
        state.breaker.restarted();
        state.last_failure = None;
        state.read = Remembered::default();
    }

    /// Our own calls that are under way there.
    pub(crate) fn in_flight(&self) -> usize {
        self.lock().in_flight
    }

    /// Whether it is one that failed too often; that alone does not mean that it isn't asked.
    pub(crate) fn open_since(&self) -> Option<Instant> {
        self.lock().breaker.open_since()
    }

    /// Counts one more call until the lease is dropped.
    pub(super) fn lease(
        self: &Arc<Self>,
        address: Arc<str>,
        prompt: &Fingerprint,
        pace: Arc<Pace>,
        probe: bool,
    ) -> Lease {
        let mut state = self.lock();
        let beside = state.busy();
        let foreseen = state.shared_tokens(prompt);
        let queued = beside >= state.slots();
        state.in_flight += 1;
        state.read.add(prompt);
        if probe {
            state.breaker.begin_probe();
        }
        let (load, began, unread) = (Arc::clone(self), Instant::now(), prompt.tokens().saturating_sub(foreseen));
        let settled = AtomicBool::new(false);
        Lease { held: Some(Held { load, address, pace, began, beside, queued, foreseen, unread, probe, settled }) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Sequences there now, as far as is known.
    pub(super) fn busy(&self) -> usize {
        self.in_flight.saturating_add(self.others)
    }

    /// Sequences that run side by side.
    pub(super) fn slots(&self) -> usize {
        if self.max_running == 0 { usize::MAX } else { self.max_running }
    }

    /// Tokens of the prompt that it is believed to have read.
    pub(super) fn shared_tokens(&self, prompt: &Fingerprint) -> usize {
        (self.read.shared_tokens(prompt) as f64 * self.trust.unwrap_or(TRUST)) as usize
    }

    /// What is held against it, as time.
    pub(super) fn penalty(&self) -> Duration {
        let failed = self.last_failure.map_or(Duration::ZERO, |at| {
            let fresh = 1.0 - at.elapsed().as_secs_f64() / MEMORY.as_secs_f64();
            PENALTY.mul_f64(fresh.max(0.0))
        });
        failed + self.full_for()
    }

    /// How long it will have no room.
    pub(super) fn full_for(&self) -> Duration {
        self.full_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
    }
}

/// A call in flight on a node. Whoever holds it says how the call went; dropped without a word it was given up.
#[derive(Debug)]
pub struct Lease {
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    load: Arc<Load>,
    address: Arc<str>,
    pace: Arc<Pace>,
    began: Instant,
    /// Sequences that were there before it.
    beside: usize,
    queued: bool,
    /// Prompt tokens that the node should still have had, and the others.
    foreseen: usize,
    unread: usize,
    probe: bool,
    settled: AtomicBool,
}

impl Lease {
    /// A lease of a node whose load nobody counts.
    pub fn uncounted() -> Self {
        Self { held: None }
    }

    /// Whether this call tries a node that is otherwise left alone.
    pub fn is_probe(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.probe)
    }

    /// Where the call goes.
    pub(super) fn address(&self) -> &str {
        self.held.as_ref().map_or("", |held| &held.address)
    }

    /// It was answered: what was before is forgiven, and its times are a measure. `complete` is when
    /// its prompt was, unless it was from the start.
    pub(super) fn answered(&self, complete: Option<Instant>, first_text: Instant, usage: Usage) {
        let Some(held) = self.settle() else { return };
        let until_first =
            first_text.saturating_duration_since(complete.map_or(held.began, |complete| complete.max(held.began)));
        held.pace.add(until_first, usage.completion_tokens);
        let mut state = held.load.lock();
        state.last_failure = None;
        state.full_until = None;
        state.breaker.succeeded(held.began, held.probe);
        // How long a prompt that came bit by bit was read for is not known.
        if complete.is_none_or(|complete| complete <= held.began) {
            state.speed.add(&Measured {
                read: usage.prompt_tokens.saturating_sub(usage.cached_prompt_tokens),
                until_first,
                written: usage.completion_tokens,
                writing: first_text.elapsed(),
                beside: held.beside,
                queued: held.queued,
            });
        }
        if held.foreseen > 0 {
            let had = f64::from(usage.cached_prompt_tokens) / held.foreseen as f64;
            // From what was assumed on: one miss is no proof.
            state.trust.get_or_insert(TRUST);
            average(&mut state.trust, had.min(1.0));
        }
    }

    /// Holds a failure against the node; whether that was one too many, so that it is left alone from now on.
    pub(super) fn failed(&self) -> bool {
        let Some(held) = self.settle() else { return false };
        let mut state = held.load.lock();
        state.last_failure = Some(Instant::now());
        state.breaker.failed(held.probe)
    }

    /// The node is full, which is no failure: others are asked until it has room.
    pub(super) fn refused(&self, retry_after: Option<Duration>) {
        let Some(held) = self.settle() else { return };
        let mut state = held.load.lock();
        state.full_until = Some(Instant::now() + retry_after.unwrap_or(FULL));
        if held.probe {
            state.breaker.abandon_probe();
        }
    }

    /// Somebody else was faster, or time was up: the node is at least this slow.
    pub(super) fn outpaced(&self) {
        let Some(held) = self.settle() else { return };
        let mut state = held.load.lock();
        state.speed.at_least(held.unread, held.began.elapsed(), held.beside);
        if held.probe {
            state.breaker.failed(true);
        }
    }

    /// What is held, the first time that somebody says how it went.
    fn settle(&self) -> Option<&Held> {
        self.held.as_ref().filter(|held| !held.settled.swap(true, Ordering::Relaxed))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let given_up = self.settle().is_some();
        if let Some(held) = &self.held {
            let mut state = held.load.lock();
            state.in_flight = state.in_flight.saturating_sub(1);
            if given_up && held.probe {
                state.breaker.abandon_probe();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::limits::Limits;

    fn load() -> Arc<Load> {
        Arc::new(Load::new(Rules::from(&Limits::standard())))
    }

    fn lease(load: &Arc<Load>, probe: bool) -> Lease {
        load.lease("node".into(), &Fingerprint::default(), Arc::default(), probe)
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_node_announces_counts_beside_our_own_calls_and_not_twice() {
        let load = load();
        let leases = [lease(&load, false), lease(&load, false)];
        load.announced(Announced { busy: 5, max_running: 4, ..Announced::default() });
        assert_eq!(load.lock().busy(), 5);
        drop(leases);
        assert_eq!(load.lock().busy(), 3, "those of others");
        load.announced(Announced { busy: 1, max_running: 4, ..Announced::default() });
        assert_eq!(load.lock().busy(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_weighs_less_with_time_and_nothing_after_a_success() {
        let load = load();
        lease(&load, false).failed();
        assert_eq!(load.lock().penalty(), PENALTY);
        advance(MEMORY / 2).await;
        assert_eq!(load.lock().penalty(), PENALTY / 2);
        lease(&load, false).answered(None, Instant::now(), Usage::default());
        assert_eq!(load.lock().penalty(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_is_given_up_or_refused_leaves_room_for_another() {
        let load = load();
        (0..5).for_each(|_| assert_eq!(lease(&load, false).failed(), load.open_since().is_some()));
        advance(Limits::standard().ejection).await;
        for given_up in [true, false] {
            let probe = lease(&load, true);
            assert!(!load.lock().breaker.is_probe_due());
            if !given_up {
                probe.refused(None);
            }
            drop(probe);
            assert!(load.lock().breaker.is_probe_due());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_has_one_verdict() {
        let load = load();
        let call = lease(&load, false);
        (0..10).for_each(|_| assert!(!call.failed()));
        assert!(load.open_since().is_none());
    }
}
