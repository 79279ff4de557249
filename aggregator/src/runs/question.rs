//! What is asked of a runner.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use synod_telemetry::Parent;

use crate::{
    error::Error,
    members::Grammar,
    topology::{Overrides, Sampling},
};

/// The most bytes of a run id.
const MAX_ID_BYTES: usize = 128;

/// A question, as it comes: nothing of it is checked yet, except that the sampling is possible.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// The conversation as role and content; the last message is the question.
    pub messages: Vec<(String, String)>,
    /// Empty for the default topology.
    pub topology: String,
    /// Overrides the synthesiser's; `max_tokens` and `seed` hold for the whole run.
    pub sampling: Sampling,
    /// What it changes of the topology.
    pub overrides: Overrides,
    /// Empty to have one made.
    #[serde(skip)]
    pub run_id: String,
    /// Members write to their `max_tokens` whatever they would say (benchmarks).
    pub ignore_end: bool,
    /// Members keep the seeds that the topology gives them, whatever the sampling's seed is: a run that was asked without
    /// one, asked again with the one it drew.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_seeds: bool,
    /// It is refused where the topology calls an API: whoever asks the same again does not want that done again.
    #[serde(skip)]
    pub refuse_acts: bool,
    /// How long whoever asks will wait.
    #[serde(skip)]
    pub deadline: Option<Duration>,
    /// What the answer itself must look like.
    #[serde(default, skip_serializing_if = "AnswerForm::is_free")]
    pub form: AnswerForm,
    /// On whose behalf; empty for nobody in particular.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tenant: String,
    /// The span of whoever asks, of whose trace the run becomes a part.
    #[serde(skip)]
    pub parent: Parent,
}

/// What an answer must look like, which is the business of whoever writes it and not of those who draft.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AnswerForm {
    /// What it must match. No draft stands in for such an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grammar: Option<Grammar>,
    /// How many alternatives to tell of with each token, from 0; none for no word about tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_logprobs: Option<u32>,
}

impl AnswerForm {
    /// Whether nothing is asked for that only a synthesiser can give.
    pub fn is_free(&self) -> bool {
        *self == Self::default()
    }
}

/// A question as it is recorded.
pub(super) struct Asked {
    pub(super) question: Question,
    /// The run that it is a part of; empty for most.
    pub(super) part_of: String,
}

impl Question {
    /// A single question, to the default topology.
    pub fn new(text: impl Into<String>) -> Self {
        Self { messages: vec![("user".to_owned(), text.into())], ..Self::default() }
    }
}

/// The id given, or a new one.
pub(super) fn run_id(given: &str) -> Result<String, Error> {
    if given.is_empty() {
        return Ok(uuid::Uuid::now_v7().to_string());
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    if given.len() > MAX_ID_BYTES || !given.chars().all(is_plain) {
        let rule = format!("at most {MAX_ID_BYTES} of A-Z, a-z, 0-9, '-', '_', '.' and ':'");
        return Err(Error::invalid(format!("a run id has {rule}; leave it empty to have one made")));
    }
    Ok(given.to_owned())
}
