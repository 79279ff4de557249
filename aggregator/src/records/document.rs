//! What a record says: the one shape that is in the file, in exports, in `--json` and in `GetRun`.

use serde::{Deserialize, Serialize};

use crate::{runs::Question, topology::Sampling};

/// A run as it is recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// What was asked, of which topology.
    #[serde(flatten)]
    pub began: Began,
    /// How it ended; none while it runs, and for ever where its process was killed.
    pub ended: Option<Ended>,
    /// Every call that it made to a node, in the order in which they began.
    pub calls: Vec<Called>,
}

/// What is known of a run when it begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Began {
    /// Its id.
    pub run_id: String,
    /// When it began, in milliseconds since 1970.
    pub began_ms: u64,
    /// What it runs through.
    pub topology: TopologyText,
    /// What every seat's seed is derived from.
    pub seed: u64,
    /// The version of the prompt texts.
    pub prompts: String,
    /// The aggregator's version.
    pub build: String,
    /// What was asked, and with which wishes.
    pub question: Question,
    /// The run that it is a part of; empty for most.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub part_of: String,
    /// Its stages: the kind, and the model of each seat.
    pub stages: Vec<Plan>,
}

/// A topology as it was when the run began.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopologyText {
    /// Its name.
    pub name: String,
    /// Of all that it means: its roles, the topologies in it and what the question changed of it included.
    pub sha256: String,
    /// As TOML, with the roles of the user.
    pub text: String,
}

/// What a stage is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// propose, select, gate or synthesize.
    pub kind: String,
    /// The model, or the topology, of each seat.
    pub models: Vec<String>,
}

/// How a run ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// finished, failed or cancelled.
    pub state: String,
    /// The answer, or what there was of one.
    pub answer: String,
    /// Why the answer ended: stop or length.
    pub finish_reason: String,
    /// Whether something was lost or cut.
    pub degraded: bool,
    /// What.
    pub warnings: Vec<String>,
    /// Why there is no answer; empty where there is one.
    pub error: String,
    /// How long it took.
    pub total_ms: u64,
    /// Up to the first token of the answer.
    pub first_token_ms: u64,
    /// Tokens of all calls together.
    pub usage: Tokens,
    /// How each stage ended, and what those decided that decide.
    pub stages: Vec<StageEnd>,
    /// What became of each seat.
    pub seats: Vec<Seat>,
}

/// How a stage ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageEnd {
    /// Which, from 0.
    pub stage: usize,
    /// Seats with a usable answer.
    pub answered: usize,
    /// Seats without.
    pub failed: usize,
    /// How long it took.
    pub ms: u64,
    /// What a select or gate decided, and why; empty for others.
    pub decision: String,
}

/// What became of a seat.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Seat {
    /// The stage, from 0.
    pub stage: usize,
    /// The seat in it, from 0.
    pub seat: usize,
    /// Who was asked.
    pub model: String,
    /// The role's name; empty for none.
    pub role: String,
    /// The last node it had; empty for none.
    pub node: String,
    /// The run of the topology that wrote in place of a model; empty for a model.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub nested_run_id: String,
    /// What it wrote.
    pub text: String,
    /// stop or length; empty where it is lost.
    pub finish_reason: String,
    /// Why it is lost; empty where it is not.
    pub error: String,
    /// What it cost.
    pub usage: Tokens,
    /// How long it took.
    pub ms: u64,
    /// Up to its first token.
    pub first_token_ms: u64,
    /// How sure its model was.
    pub mean_logprob: f64,
}

/// Counts of tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Read.
    pub prompt: u32,
    /// Of these, read from the cache.
    pub cached: u32,
    /// Written.
    pub completion: u32,
}

/// A call to a node: a seat has more than one where the first failed, was late, or was given up.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Called {
    /// Whose call it is.
    pub run_id: String,
    /// The stage, from 0.
    pub stage: usize,
    /// The seat in it, from 0.
    pub seat: usize,
    /// Who was asked.
    pub node: String,
    /// For which model.
    pub model: String,
    /// What for, where it is one of several on the way to a call of an API; empty for an answer.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub purpose: String,
    /// Nodes that were passed over because they had failed before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub avoided: Vec<String>,
    /// When it began, in milliseconds since 1970.
    pub began_ms: u64,
    /// What the model was given; none where the node did not come to say, or does not know how.
    pub prompt: Option<Prompt>,
    /// How tokens were drawn: what the node says, or else what it was asked for.
    pub sampling: Sampling,
    /// What the answer had to match; empty for anything.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub grammar: String,
    /// finished, failed, or "given up": somebody else was faster, or enough had answered.
    pub outcome: String,
    /// Why it failed; empty where it did not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// What was written.
    pub text: String,
    /// The tokens written, each with its log-probability; of a call that wrote none, those that it weighed as the next one.
    pub tokens: Vec<(u32, f32)>,
    /// stop or length; empty without an end.
    pub finish_reason: String,
    /// What it cost.
    pub usage: Tokens,
    /// How long it took.
    pub times: Times,
}

/// What a model was given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// Of the model's file.
    pub model_sha256: String,
    /// Of the chat template in it; empty for a model without one.
    pub template_sha256: String,
    /// The node's version.
    pub build: String,
    /// In order: what was tokenised at once.
    pub stretches: Vec<Stretch>,
}

/// Text that was tokenised at once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    /// The text, in pieces.
    pub pieces: Vec<Piece>,
    /// Its tokens, up to where it was cut.
    pub tokens: Vec<u32>,
    /// Tokens beyond these, which the model was not given.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tokens_cut: u32,
}

/// Text of one author.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// The text.
    pub text: String,
    /// Whether the text of control tokens in it means those tokens: the chat template's does, nobody else's.
    pub control: bool,
}

/// How long a call took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// From the call to its end.
    pub total_ms: u64,
    /// From the call to its first text.
    pub first_token_ms: Option<u64>,
    /// On the node: waiting for a place.
    pub queue_ms: Option<u32>,
    /// On the node: reading the prompt.
    pub prefill_ms: Option<u32>,
    /// On the node: writing.
    pub decode_ms: Option<u32>,
}

/// A run in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Its id.
    pub run_id: String,
    /// What it ran through.
    pub topology: String,
    /// When it began, in milliseconds since 1970.
    pub began_ms: u64,
    /// running, finished, failed or cancelled; unfinished where its process was killed.
    pub state: String,
    /// How long it took.
    pub total_ms: u64,
    /// Whether something was lost or cut.
    pub degraded: bool,
    /// Why it failed.
    pub error: String,
}

impl Prompt {
    /// All of its text.
    pub fn text(&self) -> String {
        self.stretches.iter().flat_map(|stretch| &stretch.pieces).map(|piece| piece.text.as_str()).collect()
    }

    /// All of its tokens.
    pub fn tokens(&self) -> Vec<u32> {
        self.stretches.iter().flat_map(|stretch| stretch.tokens.iter().copied()).collect()
    }
}

impl Record {
    /// Its line in a list.
    pub fn line(&self) -> Line {
        let ended = self.ended.as_ref();
        Line {
            run_id: self.began.run_id.clone(),
            topology: self.began.topology.name.clone(),
            began_ms: self.began.began_ms,
            state: ended.map_or("unfinished", |ended| &ended.state).to_owned(),
            total_ms: ended.map(|ended| ended.total_ms).unwrap_or_default(),
            degraded: ended.is_some_and(|ended| ended.degraded),
            error: ended.map(|ended| ended.error.clone()).unwrap_or_default(),
        }
    }

    /// The call whose text a seat has: the one that finished last.
    pub fn answered(&self, stage: usize, seat: usize) -> Option<&Called> {
        self.calls.iter().rfind(|call| (call.stage, call.seat) == (stage, seat) && call.outcome == "finished")
    }
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}
