//! One call on one node: up to its first text, from which on it is committed, and on to its end.

use std::{pin::pin, time::Duration};

use futures::StreamExt;
use tokio::{
    task::consume_budget,
    time::{Instant, sleep, sleep_until},
};
use tracing::Span;

use super::{
    Call, Cut, EventStream, MemberEvent, Picked, TokenLogprob, Usage,
    attempts::{Answered, Lost, Policy, Seat},
};
use crate::{
    error::{Error, ErrorCode},
    stages::FinishReason,
};

/// A call that has begun to write.
pub(super) struct Opened {
    events: EventStream,
    accepted: Option<(u32, Vec<Cut>)>,
    text: String,
    tokens: u32,
    logprobs: Vec<TokenLogprob>,
    first_text: Instant,
    /// The call's.
    pub(super) span: Span,
}

/// How an answer ended.
struct Finished {
    finish_reason: FinishReason,
    usage: Usage,
    mean_logprob: f64,
    margin: Option<f64>,
}

/// Makes the call and waits for its first text; without one it has failed.
pub(super) async fn open(seat: &Seat<'_>, picked: &Picked) -> Result<Opened, Lost> {
    let Seat { nodes, call, policy, .. } = seat;
    let side = Side { node: &picked.node, call, committed: false };
    let mut late = pin!(late(call, policy));
    let too_slow = || side.too_slow(&format!("no first token within {:?}", policy.first_token));
    let opening = tokio::select! {
        biased;
        opening = nodes.generate(picked, call) => opening,
        () = &mut late => return Err(too_slow()),
    };
    let mut events = opening.map_err(|error| side.failed(error))?;
    let (mut accepted, mut tokens, mut logprobs) = (None, 0_u32, Vec::new());
    loop {
        let next = tokio::select! {
            biased;
            () = &mut late => return Err(too_slow()),
            next = next(&mut events) => next,
        };
        match side.understand(next)? {
            MemberEvent::Accepted { prompt_tokens, cuts, .. } => accepted = Some((prompt_tokens, cuts)),
            MemberEvent::Delta { text, tokens: more, logprobs: told, .. } => {
                tokens = tokens.saturating_add(more);
                logprobs.extend(told);
                if !text.is_empty() {
                    let (first_text, span) = (Instant::now(), Span::current());
                    return Ok(Opened { events, accepted, text, tokens, logprobs, first_text, span });
                }
            }
            MemberEvent::Finished { .. } => {
                return Err(side.failed(Error::new(ErrorCode::MemberFailed, "it wrote nothing")));
            }
        }
    }
}

/// The next event, with room for others in between: the limits of a node that talks without end would else never be
/// looked at, since its next event is always there.
async fn next(events: &mut EventStream) -> Option<Result<MemberEvent, Error>> {
    consume_budget().await;
    events.next().await
}

/// Passes when a call without a text is late. While its prompt is still being written it is not.
async fn late(call: &Call, policy: &Policy) {
    let read = async {
        call.parts.completed().await;
        sleep(policy.first_token).await;
    };
    tokio::select! {
        biased;
        () = read => {}
        () = sleep_until(call.deadline) => {}
    }
}

/// Reads the rest of it; with the answer, when its first text came.
pub(super) async fn write(seat: &Seat<'_>, opened: Opened, node: &str) -> Result<(Answered, Instant), Lost> {
    let Seat { call, policy, watch, started, .. } = seat;
    let Opened { mut events, accepted, mut text, mut tokens, logprobs, first_text, .. } = opened;
    let side = Side { node, call, committed: true };
    if let Some((prompt_tokens, cuts)) = accepted {
        watch.accepted(prompt_tokens, &cuts);
    }
    watch.logprobs(logprobs);
    watch.delta(&text, tokens);
    let mut last_text = first_text;
    let Finished { finish_reason, usage, mean_logprob, margin } = loop {
        side.check_length(&text, tokens, policy)?;
        let next = tokio::select! {
            biased;
            () = sleep_until(call.deadline.min(last_text + policy.idle)) => return Err(side.too_slow(&silent(policy.idle))),
            next = next(&mut events) => next,
        };
        match side.understand(next)? {
            MemberEvent::Accepted { prompt_tokens, cuts, .. } => watch.accepted(prompt_tokens, &cuts),
            MemberEvent::Delta { text: more, tokens: written, logprobs, .. } => {
                // An event that brings nothing is no sign of life.
                if !more.is_empty() || written > 0 {
                    last_text = Instant::now();
                }
                text.push_str(&more);
                tokens = tokens.saturating_add(written);
                if text.len() <= policy.max_bytes {
                    watch.logprobs(logprobs);
                    watch.delta(&more, written);
                }
            }
            MemberEvent::Finished { finish_reason, usage, mean_logprob, margin, .. } => {
                break Finished { finish_reason, usage, mean_logprob, margin };
            }
        }
    };
    // Of a prompt that came bit by bit, what the member did after its end counts.
    let started = call.parts.completed_at().map_or(*started, |at| at.max(*started));
    let (first_token, total) = (first_text.saturating_duration_since(started), started.elapsed());
    Ok((Answered { text, finish_reason, usage, mean_logprob, margin, first_token, total, advice: None }, first_text))
}

fn silent(idle: Duration) -> String {
    format!("silent for {idle:?} in the middle of its answer")
}

/// Who is at the other end, and how far the call is.
struct Side<'c> {
    node: &'c str,
    call: &'c Call,
    committed: bool,
}

impl Side<'_> {
    /// An event that goes on with the answer, or why there will be none.
    fn understand(&self, next: Option<Result<MemberEvent, Error>>) -> Result<MemberEvent, Lost> {
        match next {
            Some(Ok(MemberEvent::Finished { finish_reason: FinishReason::Cancelled, .. })) => {
                Err(self.failed(Error::new(ErrorCode::Unavailable, "it stopped the call")))
            }
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(self.failed(error)),
            None => Err(self.failed(Error::new(ErrorCode::MemberFailed, "it broke off without finishing"))),
        }
    }

    /// Fails a member that writes beyond what it was asked for: one that is well stops there.
    fn check_length(&self, text: &str, tokens: u32, policy: &Policy) -> Result<(), Lost> {
        let most = self.call.sampling.max_tokens.map_or(u32::MAX, |most| most.get());
        let message = if text.len() > policy.max_bytes {
            format!("it wrote more than the {} bytes allowed", policy.max_bytes)
        } else if tokens > most {
            format!("it wrote more than the {most} tokens that it was asked for")
        } else {
            return Ok(());
        };
        Err(self.failed(Error::new(ErrorCode::MemberFailed, message)))
    }

    fn failed(&self, error: Error) -> Lost {
        let message = format!("node {}: {}", self.node, error.message);
        Lost { error: Error { message, ..error }, committed: self.committed }
    }

    fn too_slow(&self, what: &str) -> Lost {
        if Instant::now() >= self.call.deadline {
            return self.failed(Error::new(ErrorCode::DeadlineExceeded, "it was not done by its deadline"));
        }
        self.failed(Error::new(ErrorCode::MemberTimedOut, what))
    }
}
