//! One seat's answer: a call, its limits, and what happens when it fails.
//!
//! Until the first text a failed call moves to another node, within the budget of retries; where there is only one, it is
//! tried there once more after a pause. From the first text on the call is committed: another node would write another
//! answer.

use std::{sync::Arc, time::Duration};

use synod_telemetry::spans;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::Instrument;

use super::{Advised, Call, Cut, Nodes, Picked, TokenLogprob, Usage, Wanted, hedge};
use crate::{
    error::{Error, ErrorCode, Retry},
    stages::FinishReason,
};

/// The pause before a node is asked again, unless it named one itself.
const PAUSE: Duration = Duration::from_millis(200);

/// The limits of one seat.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    pub(crate) attempts: u32,
    pub(crate) first_token: Duration,
    pub(crate) idle: Duration,
    pub(crate) max_bytes: usize,
}

/// What a seat may meet on its way to an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Its call failed and is made again.
    Retried,
    /// Its call is late: a second one is made.
    Hedged,
    /// Its call failed, and the model on that node is left alone from now on.
    Ejected,
}

/// Who looks on while a seat writes.
pub(crate) trait Watch: Send + Sync {
    /// The seat got a node; again for each node it moves to.
    fn started(&self, node: &str);
    /// The prompt is in, with what was cut from it.
    fn accepted(&self, prompt_tokens: u32, cuts: &[Cut]);
    /// More text.
    fn delta(&self, text: &str, tokens: u32);
    /// The tokens of the text that comes next, where the call asked for them.
    fn logprobs(&self, tokens: Vec<TokenLogprob>) {
        let _ = tokens;
    }
    /// Something went wrong on the way.
    fn met(&self, trouble: Trouble) {
        let _ = trouble;
    }
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answered {
    pub(crate) text: String,
    pub(crate) finish_reason: FinishReason,
    pub(crate) usage: Usage,
    pub(crate) mean_logprob: f64,
    pub(crate) margin: Option<f64>,
    /// From the first call to the first text.
    pub(crate) first_token: Duration,
    pub(crate) total: Duration,
    /// What it would call, where it was asked for a call of an API.
    pub(crate) advice: Option<Advised>,
}

/// A seat that is lost.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lost {
    pub(crate) error: Error,
    /// Whether anything had been written.
    pub(crate) committed: bool,
}

/// One seat's wish for an answer, through all its attempts.
pub(super) struct Seat<'c> {
    pub(super) nodes: &'c dyn Nodes,
    pub(super) call: &'c Call,
    pub(super) wanted: Wanted<'c>,
    pub(super) policy: &'c Policy,
    pub(super) watch: &'c dyn Watch,
    pub(super) started: Instant,
}

/// Asks until someone answers or the policy says stop.
pub(crate) async fn answer(
    nodes: &dyn Nodes,
    call: &Call,
    policy: &Policy,
    watch: &dyn Watch,
) -> Result<Answered, Lost> {
    let seat = Seat { nodes, call, wanted: Wanted::of(call), policy, watch, started: Instant::now() };
    let span = spans::agent(&call.model, call.at.stage, call.at.seat);
    let outcome = attempts(&seat).instrument(span.clone()).await;
    match &outcome {
        Ok(answered) => {
            let reason = answered.finish_reason.name();
            spans::finished(&span, reason, answered.usage.into());
            spans::exchange(&span, || call.conversation(), &answered.text, reason);
        }
        Err(lost) => spans::failed(&span, lost.error.code.name()),
    }
    outcome
}

async fn attempts(seat: &Seat<'_>) -> Result<Answered, Lost> {
    let Seat { nodes, call, policy, watch, .. } = seat;
    let mut tried: Vec<Arc<str>> = Vec::new();
    let mut last: Option<Error> = None;
    for _ in 0..policy.attempts.max(1) {
        let picked = match pick(*nodes, &seat.wanted, &tried, call.deadline).await {
            Ok(picked) => picked,
            // What an earlier try met says more than "nobody is left".
            Err(nobody) => return Err(lost(last.unwrap_or(nobody))),
        };
        if let Some(before) = &last {
            if tried.contains(&picked.node) && !again(before, &picked, &tried, call.deadline).await {
                break;
            }
            if !nodes.may_retry() {
                let message = format!("{}; not tried again: too many calls are retries already", before.message);
                return Err(lost(Error { message, ..before.clone() }));
            }
            watch.met(Trouble::Retried);
        }
        match hedge::attempt(seat, picked, &mut tried).await {
            Ok(answered) => return Ok(answered),
            Err(failed) if failed.committed || failed.error.code.retry() == Retry::Never => return Err(failed),
            Err(failed) => last = Some(failed.error),
        }
    }
    Err(lost(last.unwrap_or_else(|| Error::new(ErrorCode::Internal, "no attempt was made"))))
}

/// A node for a call; one that went away just now gets a moment to come back.
pub(super) async fn pick(
    nodes: &dyn Nodes,
    wanted: &Wanted<'_>,
    tried: &[Arc<str>],
    deadline: Instant,
) -> Result<Picked, Error> {
    let nobody = match nodes.pick(wanted, tried) {
        Err(nobody) if nobody.code.retry() != Retry::Never => nobody,
        outcome => return outcome,
    };
    let back = timeout_at(deadline, nodes.back(wanted.model)).await.unwrap_or(false);
    if back { nodes.pick(wanted, tried) } else { Err(nobody) }
}

fn lost(error: Error) -> Lost {
    Lost { error, committed: false }
}

/// Whether a node that failed is asked once more; if so, after a pause.
async fn again(before: &Error, picked: &Picked, tried: &[Arc<str>], deadline: Instant) -> bool {
    let asked_twice = tried.iter().filter(|node| **node == picked.node).count() > 1;
    !asked_twice && before.code.retry() == Retry::Anywhere && pause(before, deadline).await
}

/// Waits before the same node is asked again; false where there is no time for it.
async fn pause(before: &Error, deadline: Instant) -> bool {
    let pause = before.retry_after.unwrap_or(PAUSE);
    if Instant::now() + pause >= deadline {
        return false;
    }
    sleep(pause).await;
    true
}
