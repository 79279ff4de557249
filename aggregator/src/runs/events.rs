//! What happens in a run, as plain types. The protocol's messages are made from these at the edge.

use std::time::Duration;

use crate::{
    members::{TokenLogprob, Usage},
    stages::FinishReason,
};

/// One thing that happened. The first is `RunStarted`; the last is one of `RunFinished` and `RunFailed`.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The run was accepted.
    RunStarted(RunStarted),
    /// A seat got a node; again for each node it moves to.
    MemberStarted(MemberStarted),
    /// A seat wrote more of its draft.
    MemberDelta {
        /// Which seat.
        at: At,
        /// What it wrote.
        text: String,
    },
    /// A seat is done.
    MemberFinished(MemberFinished),
    /// A seat is lost; the run goes on.
    MemberFailed(MemberFailed),
    /// A stage is done.
    StageFinished(StageFinished),
    /// More of the answer.
    AnswerDelta {
        /// What was written.
        text: String,
        /// Its tokens one by one, where the question asked for them.
        logprobs: Vec<TokenLogprob>,
    },
    /// There is an answer.
    RunFinished(RunFinished),
    /// There is none.
    RunFailed(RunFailed),
}

impl Event {
    /// Bytes of the texts in it.
    pub(crate) fn text_bytes(&self) -> usize {
        match self {
            Self::MemberFinished(finished) => finished.text.len(),
            Self::MemberFailed(failed) => failed.text.len() + failed.error.len(),
            Self::RunFinished(finished) => finished.answer.len(),
            Self::RunFailed(failed) => failed.answer_so_far.len(),
            _ => 0,
        }
    }
}

/// A seat of a stage, both from 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct At {
    /// The stage.
    pub stage: usize,
    /// The seat in it.
    pub seat: usize,
}

/// What kind of stage it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StageKind {
    /// Drafts.
    Propose,
    /// Some of them go on.
    Select,
    /// Whether the run goes on.
    Gate,
    /// A call of an API.
    Act,
    /// The answer.
    Synthesize,
}

/// Who will be asked in a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagePlan {
    /// Its kind.
    pub kind: StageKind,
    /// The model of each seat.
    pub models: Vec<String>,
}

/// What a run is going to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunStarted {
    /// Its id.
    pub run_id: String,
    /// What it runs through.
    pub topology: String,
    /// Its stages.
    pub stages: Vec<StagePlan>,
    /// What every seat's seed is derived from.
    pub seed: u64,
    /// The version of the prompt texts.
    pub prompts: String,
}

/// Who a seat asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStarted {
    /// Which seat.
    pub at: At,
    /// The node; empty where a topology answers.
    pub node: String,
    /// The model on it, or the topology.
    pub model: String,
    /// The role's name; empty for none.
    pub role: String,
    /// The run of the topology that answers; empty for a model.
    pub nested_run_id: String,
}

/// What a seat wrote.
#[derive(Debug, Clone, PartialEq)]
pub struct MemberFinished {
    /// Which seat.
    pub at: At,
    /// All of it.
    pub text: String,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// What it cost.
    pub usage: Usage,
    /// How long it took.
    pub timings: Timings,
    /// How sure the model was.
    pub mean_logprob: f64,
}

/// Why a seat is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberFailed {
    /// Which seat.
    pub at: At,
    /// Why.
    pub error: String,
    /// What had been written.
    pub text: String,
    /// The last node it had; empty for none.
    pub node: String,
}

/// How a stage ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageFinished {
    /// Which, from 0.
    pub stage: usize,
    /// Its kind.
    pub kind: StageKind,
    /// Seats with a usable answer.
    pub answered: usize,
    /// Seats without.
    pub failed: usize,
    /// How long it took.
    pub took: Duration,
    /// What a select, gate or act decided, and why; empty for others.
    pub decision: String,
}

/// How long something took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings {
    /// All of it.
    pub total: Duration,
    /// Up to the first token; of a run, the first of the answer.
    pub first_token: Duration,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFinished {
    /// The run.
    pub run_id: String,
    /// The whole answer.
    pub answer: String,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Of all calls together.
    pub usage: Usage,
    /// Of the run.
    pub timings: Timings,
    /// A seat was lost, or something was cut.
    pub degraded: bool,
    /// What was lost or cut.
    pub warnings: Vec<String>,
}

/// No answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFailed {
    /// The run.
    pub run_id: String,
    /// Why.
    pub error: String,
    /// What the synthesiser had written.
    pub answer_so_far: String,
    /// What would be the answer without synthesis.
    pub best_draft: Option<Draft>,
    /// Of all calls together.
    pub usage: Usage,
    /// Of the run.
    pub timings: Timings,
    /// What was lost or cut before.
    pub warnings: Vec<String>,
}

/// A candidate as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Who wrote it.
    pub at: At,
    /// With which model.
    pub model: String,
    /// What it says.
    pub text: String,
}
