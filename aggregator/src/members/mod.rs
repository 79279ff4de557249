//! Who answers: the one trait through which a run reaches nodes, and the policy around a call.

mod attempt;
mod attempts;
mod breaker;
mod budget;
mod choice;
mod client;
mod given_up;
mod hedge;
mod load;
mod pace;
mod parts;
mod prefix;
mod proposed;
mod remote;
mod speed;
#[cfg(test)]
mod tests;
mod wanted;
mod window;

use std::{pin::Pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::Stream;
use serde::{Deserialize, Serialize};
use synod_telemetry::spans;
use tokio::time::Instant;

pub(crate) use attempts::{Answered, Lost, Policy, Trouble, Watch, answer};
pub(crate) use breaker::Rules;
pub(crate) use choice::Chooser;
pub(crate) use client::explain;
pub(crate) use load::{Announced, Load};
pub use load::{Lease, Standing};
pub use parts::Parts;
pub(crate) use proposed::proposed;
pub use proposed::{Advised, ApiRequest, Exchange, Made, Proposed};
pub use wanted::Wanted;

use crate::{
    error::{Error, ErrorCode},
    prompts::{Message, flat},
    records::{self, Times},
    runs::events::At,
    stages::FinishReason,
    topology::Sampling,
};

/// What a member is asked.
#[derive(Debug, Clone)]
pub struct Call {
    /// The model that should answer.
    pub model: String,
    /// The conversation; `parts` are the content of its last message.
    pub messages: Vec<Message>,
    /// The last message, in pieces that may still be coming.
    pub parts: Parts,
    /// How many quoted parts will come, where they are to be read as they come; else 0.
    pub quoted_parts: usize,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// What the answer must match.
    pub grammar: Option<Grammar>,
    /// Write to `max_tokens` even past the end of the turn (benchmarks).
    pub ignore_end: bool,
    /// Alternatives to weigh each token against: 2 for the margin, else 0.
    pub top_logprobs: u32,
    /// For the node's log, and for records.
    pub run_id: String,
    /// Whose call it is in the run.
    pub at: At,
    /// Whether the node is to say what the model is given, to the token.
    pub record: bool,
    /// When the answer is of no more use.
    pub deadline: Instant,
}

impl Call {
    /// Roles and texts, as far as they have come.
    fn conversation(&self) -> Vec<(String, String)> {
        let last = self.messages.len().saturating_sub(1);
        let text = |(at, message): (usize, &Message)| {
            let content = if at == last { flat(&self.parts.so_far()) } else { message.content.clone() };
            (message.speaker.name().to_owned(), content)
        };
        self.messages.iter().enumerate().map(text).collect()
    }
}

/// What an answer must match, enforced as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grammar {
    /// A regular expression in the syntax of Rust's regex crate, without anchors.
    Regex(String),
    /// A JSON schema.
    JsonSchema(String),
    /// Any JSON object.
    JsonObject,
    /// A grammar in llguidance's dialect of Lark, from its rule `start`.
    Lark(String),
}

impl Grammar {
    /// Its text; any JSON object as the schema that says so.
    pub fn source(&self) -> &str {
        match self {
            Self::Regex(source) | Self::JsonSchema(source) | Self::Lark(source) => source,
            Self::JsonObject => r#"{"type":"object"}"#,
        }
    }
}

/// A token that was written, and what else might have been.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogprob {
    /// Its bytes, which may be a part of a character.
    pub bytes: Vec<u8>,
    /// Its log-probability.
    pub logprob: f32,
    /// The likeliest tokens in its place, the likeliest first, with their bytes.
    pub top: Vec<(Vec<u8>, f32)>,
}

/// Sentence embeddings.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Embedded {
    /// One a text.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens read.
    pub prompt_tokens: u32,
    /// Which texts are longer than the model reads.
    pub truncated: Vec<u32>,
}

/// Tokens that a call cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Read.
    pub prompt_tokens: u32,
    /// Written.
    pub completion_tokens: u32,
    /// Read from the cache.
    pub cached_prompt_tokens: u32,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.prompt_tokens = self.prompt_tokens.saturating_add(other.prompt_tokens);
        self.completion_tokens = self.completion_tokens.saturating_add(other.completion_tokens);
        self.cached_prompt_tokens = self.cached_prompt_tokens.saturating_add(other.cached_prompt_tokens);
    }
}

impl From<Usage> for spans::Tokens {
    fn from(usage: Usage) -> Self {
        Self { input: usage.prompt_tokens, cached: usage.cached_prompt_tokens, output: usage.completion_tokens }
    }
}

/// A quoted part that did not fit whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Which of the quoted parts, from 0.
    pub quoted_index: usize,
    /// Tokens of it that the member sees.
    pub tokens_kept: u32,
    /// Tokens that it doesn't.
    pub tokens_cut: u32,
}

/// What a member does, in order: accepted, deltas, finished.
#[derive(Debug, Clone, PartialEq)]
pub enum MemberEvent {
    /// The prompt fits and is queued.
    Accepted {
        /// Its length.
        prompt_tokens: u32,
        /// What did not fit.
        cuts: Vec<Cut>,
        /// What the model is given, where the call asked for that.
        given: Option<Box<Given>>,
    },
    /// More text.
    Delta {
        /// May be empty while a character is incomplete.
        text: String,
        /// How many tokens it is.
        tokens: u32,
        /// Each of them with its log-probability.
        written: Vec<(u32, f32)>,
        /// The tokens one by one, where the call asked for alternatives.
        logprobs: Vec<TokenLogprob>,
    },
    /// The end.
    Finished {
        /// Why it ended.
        finish_reason: FinishReason,
        /// What it cost.
        usage: Usage,
        /// How sure the model was.
        mean_logprob: f64,
        /// The mean distance of its tokens to the next likeliest, where the call asked for alternatives.
        margin: Option<f64>,
        /// What the node did with the time.
        spent: Times,
    },
}

/// What a model is given, and how it draws.
#[derive(Debug, Clone, PartialEq)]
pub struct Given {
    /// The prompt.
    pub prompt: records::Prompt,
    /// Every value, those that the call left open included.
    pub sampling: Sampling,
}

/// A member's events. Dropping it frees the sequence on the node.
pub type EventStream = Pin<Box<dyn Stream<Item = Result<MemberEvent, Error>> + Send>>;

/// A node chosen for a call. It counts as in flight there until this is dropped.
pub struct Picked {
    /// The node's own name.
    pub node: Arc<str>,
    /// Its place in the load of the node.
    pub lease: Lease,
}

/// The nodes there are. A run knows no more of them than this, so it runs without a network in tests.
#[async_trait]
pub trait Nodes: Send + Sync + 'static {
    /// Chooses a node that hosts the model, one that was not tried yet if there is any. Fails at once, with what was
    /// looked at, where none can answer.
    fn pick(&self, wanted: &Wanted<'_>, tried: &[Arc<str>]) -> Result<Picked, Error>;

    /// Opens a call on the node chosen.
    async fn generate(&self, picked: &Picked, call: &Call) -> Result<EventStream, Error>;

    /// Sentence embeddings of whole texts, one a text, by a model that makes them.
    async fn embed(&self, model: &str, texts: &[String], deadline: Instant) -> Result<Embedded, Error> {
        let _ = (texts, deadline);
        Err(Error::new(ErrorCode::ModelNotHosted, format!("no node makes embeddings with {model}")))
    }

    /// Has the node chosen propose a call of an API in its catalogues.
    async fn propose(&self, picked: &Picked, request: &ApiRequest) -> Result<Proposed, Error> {
        let (node, model) = (&picked.node, &request.model);
        Err(Error::new(ErrorCode::ModelNotHosted, format!("{node} calls no APIs with {model}")))
    }

    /// Takes one more try, or a hedge, out of what they may add to the load; false where that is used up.
    fn may_retry(&self) -> bool {
        true
    }

    /// After how long without a first token it is worth asking a second node; none where that is not known.
    fn hedge_after(&self, model: &str) -> Option<Duration> {
        let _ = model;
        None
    }

    /// Waits, within a limit of its own, for a node that hosted the model and went away just now; false where there is no
    /// hope of one.
    async fn back(&self, model: &str) -> bool {
        let _ = model;
        false
    }

    /// The nodes that calls for the model avoid for now, because they failed there.
    fn avoided(&self, model: &str) -> Vec<String> {
        let _ = model;
        Vec::new()
    }

    /// Waits, within a limit of its own, until the nodes have been looked at once.
    async fn settled(&self) {}
}
