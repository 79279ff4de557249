//! Calls of documented APIs. A node writes them out of its catalogues for members who propose them; for the one who acts it
//! carries one out.

use std::{sync::Arc, time::Duration};

use synod_telemetry::spans;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

use super::{
    Given, Nodes, Usage, Wanted,
    attempts::{Lost, Policy, Trouble, Watch, pick},
    hedge::hold_against,
};
use crate::{
    error::{Error, ErrorCode, Retry},
    runs::events::At,
};

/// What a node is asked for a call for.
#[derive(Debug, Clone)]
pub struct ApiRequest {
    /// The model that chooses and writes.
    pub model: String,
    /// Roles and contents; the last is the request.
    pub messages: Vec<(String, String)>,
    /// The node's catalogues that are searched.
    pub catalogues: Vec<String>,
    /// For the node's log.
    pub run_id: String,
    /// Whose it is in the run.
    pub at: At,
    /// When it is of no more use.
    pub deadline: Instant,
    /// Whether the node is to tell what the model was asked on the way.
    pub record: bool,
    /// What others would do: votes beside the model's own choice.
    pub advice: Vec<Advised>,
    /// Whether the node is to carry the call out. Whether a lost one did, nobody knows: only who refused is followed by
    /// another.
    pub execute: bool,
}

/// What a member would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Advised {
    /// The name in its catalogue of the API that it would call; empty for none.
    pub api: String,
    /// A JSON object.
    pub arguments_json: String,
}

/// A call that was to be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The API's name in its catalogue.
    pub api: String,
    /// The server's status and whatever it said, or why there is nothing.
    pub said: Result<(String, String), String>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposed {
    /// The calls with their documents or with what came of them, or what is missing for one; none if no API fits.
    pub text: Option<String>,
    /// What the member would do.
    pub advice: Advised,
    /// What came of each call, where they were to be carried out.
    pub made: Vec<Made>,
    /// How many would do exactly this, and of how many.
    pub votes: (u32, u32),
    /// More than half would do the same other thing: nothing was carried out.
    pub outvoted: bool,
    /// What it cost.
    pub usage: Usage,
    /// The probability of the choice, from 0 to 1.
    pub confidence: f64,
    /// From the first call of a node to the end of the last.
    pub took: Duration,
    /// What the model was asked on the way, where that was wanted.
    pub exchanges: Vec<Exchange>,
}

/// A prompt on the way to a call, and what came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Exchange {
    /// What it was for, in words.
    pub purpose: String,
    /// What the model was given.
    pub given: Option<Given>,
    /// The JSON schema that the answer had to match; empty where none was written.
    pub schema: String,
    /// What was written.
    pub text: String,
    /// The tokens written with their log-probabilities, or, where none was, those that were weighed as the next one.
    pub tokens: Vec<(u32, f32)>,
    /// What it cost.
    pub usage: Usage,
    /// How long it took.
    pub took: Duration,
}

/// Asks one node after the other until one answers. Nothing is written until all of it is, so that any may be asked again.
pub(crate) async fn proposed(
    nodes: &dyn Nodes,
    request: &ApiRequest,
    policy: &Policy,
    watch: &dyn Watch,
) -> Result<Proposed, Lost> {
    let span = spans::agent(&request.model, request.at.stage, request.at.seat);
    let outcome = attempts(nodes, request, policy, watch).instrument(span.clone()).await;
    match &outcome {
        Ok(proposed) => {
            spans::finished(&span, "stop", proposed.usage.into());
            let text = proposed.text.as_deref().unwrap_or_default();
            spans::exchange(&span, || request.messages.clone(), text, "stop");
        }
        Err(error) => spans::failed(&span, error.code.name()),
    }
    outcome.map_err(|error| Lost { error, committed: false })
}

async fn attempts(
    nodes: &dyn Nodes,
    request: &ApiRequest,
    policy: &Policy,
    watch: &dyn Watch,
) -> Result<Proposed, Error> {
    let (began, mut tried) = (Instant::now(), Vec::<Arc<str>>::new());
    let mut last = None;
    for attempt in 0..policy.attempts.max(1) {
        let picked = match pick(nodes, &Wanted::model(&request.model), &tried, request.deadline).await {
            Ok(picked) if !tried.contains(&picked.node) => picked,
            Ok(_) => break,
            // Nobody was there to do anything.
            Err(nobody) if request.execute => {
                return Err(last.unwrap_or(Error { code: ErrorCode::ModelNotHosted, ..nobody }));
            }
            Err(nobody) => return Err(last.unwrap_or(nobody)),
        };
        if attempt > 0 {
            if !nodes.may_retry() {
                break;
            }
            watch.met(Trouble::Retried);
        }
        watch.started(&picked.node);
        let late = |_| Err(Error::new(ErrorCode::DeadlineExceeded, "it was not done by its deadline"));
        let span = spans::call(&request.model, &picked.node);
        let asked = nodes.propose(&picked, request).instrument(span.clone());
        match timeout_at(request.deadline, asked).await.unwrap_or_else(late) {
            Ok(proposed) => {
                spans::finished(&span, "stop", proposed.usage.into());
                return Ok(Proposed { took: began.elapsed(), ..proposed });
            }
            Err(error) => {
                spans::failed(&span, error.code.name());
                hold_against(&picked, &error, watch);
                let again = if request.execute { error.refused() } else { error.code.retry() != Retry::Never };
                if !again {
                    return Err(error);
                }
                last = Some(error);
            }
        }
        tried.push(picked.node);
    }
    Err(last.unwrap_or_else(|| Error::new(ErrorCode::Internal, "no attempt was made")))
}
