//! Which node: the one where the answer is there soonest, as far as this process can tell.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{
    Wanted,
    breaker::ejected,
    budget::RetryBudget,
    load::{Lease, Load, State},
    pace::{Pace, Paces},
    speed::{Seconds, best, slowdown},
};
use crate::limits::Limits;

/// Up to so many nodes all are compared; of more, two that are drawn and the one that knows most of the prompt. Many
/// aggregators that all follow the same announcements would else all run to the same node.
const ALL: usize = 8;

/// What choices among nodes have in common.
#[derive(Debug)]
pub(crate) struct Chooser {
    pub(super) budget: RetryBudget,
    paces: Paces,
    turn: AtomicU64,
    /// Sets the draws of this process apart from those of others.
    seed: u64,
    limits: Limits,
}

/// A node that hosts the model.
#[derive(Debug, Clone)]
pub(super) struct Host {
    pub(super) address: Arc<str>,
    pub(super) load: Arc<Load>,
    /// This seat was there already.
    pub(super) tried: bool,
}

impl Chooser {
    pub(crate) fn new(limits: &Limits, seed: u64) -> Self {
        Self {
            budget: RetryBudget::new(limits),
            paces: Paces::default(),
            turn: AtomicU64::new(0),
            seed,
            limits: limits.clone(),
        }
    }

    /// Takes a place on one of the hosts; which of them, and the place.
    pub(super) fn take(&self, hosts: &[Host], wanted: &Wanted<'_>) -> Option<(usize, Lease)> {
        let pace = self.paces.of(wanted.model);
        let out = self.ejected(hosts);
        let is_first_try = hosts.iter().all(|host| !host.tried);
        if is_first_try {
            self.budget.deposit();
        }
        let probe = (0..hosts.len()).find(|at| is_first_try && out[*at] && wants_probe(&hosts[*at].load));
        let at = probe.or_else(|| self.soonest(hosts, &out, wanted, &pace))?;
        let host = &hosts[at];
        Some((at, host.load.lease(Arc::clone(&host.address), &wanted.prompt, pace, probe.is_some())))
    }

    /// Which are left alone because calls to them fail.
    pub(super) fn ejected(&self, hosts: &[Host]) -> Vec<bool> {
        let open: Vec<Option<Instant>> = hosts.iter().map(|host| host.load.open_since()).collect();
        ejected(&open, self.limits.ejected_share)
    }

    /// After how long without a first token another node is asked too; none while too little is known.
    pub(super) fn hedge_after(&self, model: &str) -> Option<Duration> {
        self.paces.of(model).usual_first_token().map(|usual| usual.max(self.limits.hedge_min))
    }

    fn soonest(&self, hosts: &[Host], out: &[bool], wanted: &Wanted<'_>, pace: &Pace) -> Option<usize> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let open: Vec<usize> = (0..hosts.len()).filter(|at| !out[*at]).collect();
        let best = best(hosts.iter().map(|host| host.load.lock().speed));
        let need = Need { prompt_tokens: wanted.prompt.tokens(), answer_tokens: wanted.answer_tokens(pace) };
        let view = |at: &usize| {
            let standing = Standing::of(&hosts[*at].load.lock(), wanted, best);
            View { tried: hosts[*at].tried, shared: standing.shared, wait: standing.wait(need) }
        };
        let views: Vec<View> = open.iter().map(view).collect();
        choose(&views, turn, self.draw(turn)).and_then(|at| open.get(at).copied())
    }

    fn draw(&self, turn: u64) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.seed, turn).hash(&mut hasher);
        hasher.finish()
    }
}

fn wants_probe(load: &Load) -> bool {
    let state = load.lock();
    state.breaker.is_probe_due() && state.full_for().is_zero()
}

/// What a call asks of a node, in tokens.
#[derive(Debug, Clone, Copy)]
struct Need {
    prompt_tokens: usize,
    answer_tokens: f64,
}

/// How a node stands towards one call.
#[derive(Debug, Clone, Copy)]
struct Standing {
    /// Sequences there, and how many run side by side.
    busy: usize,
    slots: usize,
    /// Tokens of the prompt that it need not read.
    shared: usize,
    speed: Seconds,
    penalty: Duration,
}

impl Standing {
    fn of(state: &State, wanted: &Wanted<'_>, best: Seconds) -> Self {
        Self {
            busy: state.busy(),
            slots: state.slots(),
            shared: state.shared_tokens(&wanted.prompt),
            speed: state.speed.or(best),
            penalty: state.penalty(),
        }
    }

    /// Seconds until the answer is there: the queue, what must be read, what will be written, beside those that are there.
    fn wait(&self, need: Need) -> f64 {
        let slowed = slowdown(self.busy.min(self.slots.saturating_sub(1)));
        let read = need.prompt_tokens as f64 * self.speed.read * slowed;
        let write = need.answer_tokens * self.speed.write * slowed;
        let ahead = (self.busy + 1).saturating_sub(self.slots) as f64 / self.slots as f64;
        let known = self.shared.min(need.prompt_tokens) as f64 * self.speed.read * slowed;
        ahead * (read + write) + read - known + write + self.penalty.as_secs_f64()
    }
}

/// A node as the last comparison sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct View {
    tried: bool,
    shared: usize,
    wait: f64,
}

/// Not tried before tried, soon before late; who is a tenth apart is equal, and equals take turns.
fn choose(views: &[View], turn: u64, draw: u64) -> Option<usize> {
    let count = views.len();
    let turn = usize::try_from(turn % (count as u64).max(1)).unwrap_or_default();
    let grade = |wait: f64| (wait.max(1e-3).ln() / 1.1_f64.ln()).floor() as i64;
    let rank = |at: &usize| (views[*at].tried, grade(views[*at].wait), (at + count - turn) % count);
    compared(views, draw).into_iter().min_by_key(rank)
}

/// Which are compared.
fn compared(views: &[View], draw: u64) -> Vec<usize> {
    let fresh: Vec<usize> = (0..views.len()).filter(|at| !views[*at].tried).collect();
    if fresh.len() <= ALL {
        return if fresh.is_empty() { (0..views.len()).collect() } else { fresh };
    }
    let count = fresh.len() as u64;
    let (one, step) = (draw % count, 1 + (draw >> 32) % (count - 1));
    let drawn = [one, (one + step) % count].map(|at| fresh[usize::try_from(at).unwrap_or_default()]);
    let knows_most = fresh.iter().copied().filter(|at| views[*at].shared > 0).max_by_key(|at| views[*at].shared);
    drawn.into_iter().chain(knows_most).collect()
}

#[cfg(test)]
mod tests;
