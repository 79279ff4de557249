//! One seat's answer: a call, its limits, and what happens when it fails.
//!
//! Until the first text a failed call moves to another node; where there is only one, it is tried there once more after a
//! pause. From the first text on the call is committed: another node would write another answer.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use tokio::time::{Instant, sleep, timeout_at};

use super::{Call, Cut, MemberEvent, Nodes, Picked, Usage};
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

/// Who looks on while a seat writes.
pub(crate) trait Watch: Send + Sync {
    /// The seat got a node; again for each node it moves to.
    fn started(&self, node: &str);
    /// The prompt is in, with what was cut from it.
    fn accepted(&self, prompt_tokens: u32, cuts: &[Cut]);
    /// More text.
    fn delta(&self, text: &str, tokens: u32);
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
}

/// A seat that is lost.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lost {
    pub(crate) error: Error,
    /// Whether anything had been written.
    pub(crate) committed: bool,
}

/// Asks until someone answers or the policy says stop.
pub(crate) async fn answer(
    nodes: &dyn Nodes,
    call: &Call,
    policy: &Policy,
    watch: &dyn Watch,
) -> Result<Answered, Lost> {
    let started = Instant::now();
    let mut tried: Vec<Arc<str>> = Vec::new();
    let mut last: Option<Error> = None;
    for _ in 0..policy.attempts.max(1) {
        let picked = match nodes.pick(&call.model, &tried) {
            Ok(picked) => picked,
            // What an earlier try met says more than "nobody is left".
            Err(nobody) => return Err(lost(last.unwrap_or(nobody))),
        };
        if let Some(before) = last.as_ref().filter(|_| tried.contains(&picked.node)) {
            let asked_twice = tried.iter().filter(|node| **node == picked.node).count() > 1;
            if asked_twice || before.code.retry() != Retry::Anywhere || !pause(before, call.deadline).await {
                break;
            }
        }
        watch.started(&picked.node);
        match attempt(nodes, &picked, call, policy, watch, started).await {
            Ok(answered) => {
                picked.lease.succeeded();
                return Ok(answered);
            }
            Err(failed) => {
                note(&picked, &failed, call);
                if failed.committed || failed.error.code.retry() == Retry::Never {
                    return Err(failed);
                }
                tried.push(Arc::clone(&picked.node));
                last = Some(failed.error);
            }
        }
    }
    Err(lost(last.unwrap_or_else(|| Error::new(ErrorCode::Internal, "no attempt was made"))))
}

fn lost(error: Error) -> Lost {
    Lost { error, committed: false }
}

fn note(picked: &Picked, failed: &Lost, call: &Call) {
    // A node that refuses a prompt, or is asked too late, is not an ailing node.
    if failed.error.code.retry() != Retry::Never {
        picked.lease.failed();
    }
    tracing::debug!(run_id = call.run_id, node = %picked.node, model = call.model, error = %failed.error, "a member's call failed");
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

/// One call on one node.
async fn attempt(
    nodes: &dyn Nodes,
    picked: &Picked,
    call: &Call,
    policy: &Policy,
    watch: &dyn Watch,
    started: Instant,
) -> Result<Answered, Lost> {
    let mut writing = Writing { policy, call, node: &picked.node, first_token_at: None, text: String::new() };
    // A member that waits for the rest of its prompt is not late.
    let mut limit = Limit { call, policy, last_text: None, opened: Instant::now() };
    let opening = timeout_at(limit.at(), nodes.generate(picked, call)).await;
    let mut events = opening.map_err(|_| writing.too_slow())?.map_err(|error| writing.failed(error))?;
    loop {
        let next = match timeout_at(limit.at(), events.next()).await {
            Ok(next) => next,
            Err(_) if limit.is_over() => return Err(writing.too_slow()),
            Err(_) => continue,
        };
        match next {
            Some(Ok(MemberEvent::Accepted { prompt_tokens, cuts })) => watch.accepted(prompt_tokens, &cuts),
            Some(Ok(MemberEvent::Delta { text, tokens })) => {
                writing.push(&text)?;
                if writing.first_token_at.is_some() {
                    limit.last_text = Some(Instant::now());
                }
                watch.delta(&text, tokens);
            }
            Some(Ok(MemberEvent::Finished { finish_reason: FinishReason::Cancelled, .. })) => {
                return Err(writing.failed(Error::new(ErrorCode::Unavailable, "it stopped the call")));
            }
            Some(Ok(MemberEvent::Finished { finish_reason, usage, mean_logprob, margin })) => {
                // Of a prompt that came bit by bit, what the member did after its end counts.
                let started = call.parts.completed_at().map_or(started, |at| at.max(started));
                let first_token =
                    writing.first_token_at.unwrap_or_else(Instant::now).saturating_duration_since(started);
                let text = writing.text;
                return Ok(Answered {
                    text,
                    finish_reason,
                    usage,
                    mean_logprob,
                    margin,
                    first_token,
                    total: started.elapsed(),
                });
            }
            Some(Err(error)) => return Err(writing.failed(error)),
            None => {
                let error = Error::new(ErrorCode::MemberFailed, "it broke off without finishing");
                return Err(writing.failed(error));
            }
        }
    }
}

/// When a call has taken too long.
struct Limit<'c> {
    call: &'c Call,
    policy: &'c Policy,
    opened: Instant,
    last_text: Option<Instant>,
}

impl Limit<'_> {
    fn at(&self) -> Instant {
        let most = match (self.last_text, self.call.parts.completed_at()) {
            (Some(last), _) => last + self.policy.idle,
            (None, Some(completed)) => completed.max(self.opened) + self.policy.first_token,
            // Looked at again by then: the prompt may be complete.
            (None, None) => Instant::now() + self.policy.first_token,
        };
        most.min(self.call.deadline)
    }

    fn is_over(&self) -> bool {
        self.at() <= Instant::now()
    }
}

/// A call under way.
struct Writing<'c> {
    policy: &'c Policy,
    call: &'c Call,
    node: &'c str,
    first_token_at: Option<Instant>,
    text: String,
}

impl Writing<'_> {
    fn push(&mut self, text: &str) -> Result<(), Lost> {
        self.text.push_str(text);
        if !text.is_empty() {
            self.first_token_at.get_or_insert_with(Instant::now);
        }
        if self.text.len() > self.policy.max_bytes {
            let message = format!("it wrote more than the {} bytes allowed", self.policy.max_bytes);
            return Err(self.failed(Error::new(ErrorCode::MemberFailed, message)));
        }
        Ok(())
    }

    fn failed(&self, error: Error) -> Lost {
        let message = format!("node {}: {}", self.node, error.message);
        Lost { error: Error { message, ..error }, committed: self.first_token_at.is_some() }
    }

    fn too_slow(&self) -> Lost {
        if Instant::now() >= self.call.deadline {
            return self.failed(Error::new(ErrorCode::DeadlineExceeded, "it was not done by its deadline"));
        }
        let message = match self.first_token_at {
            None => format!("no first token within {:?}", self.policy.first_token),
            Some(_) => format!("silent for {:?} in the middle of its answer", self.policy.idle),
        };
        self.failed(Error::new(ErrorCode::MemberTimedOut, message))
    }
}
