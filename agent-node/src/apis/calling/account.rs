//! What making a call costs, and what the model is asked on the way, for whoever records that.

use std::time::Duration;

use super::Spent;
use crate::prompt::Stretch;

/// A prompt, and what came of it.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// What it was for, in words.
    pub purpose: String,
    /// What the model was given.
    pub(crate) prompt: Stretch,
    /// The JSON schema that the answer had to match; empty where none was written.
    pub schema: String,
    /// What was written.
    pub text: String,
    /// The tokens written with their log-probabilities, or, where none was, those that were weighed as the next one.
    pub tokens: Vec<(u32, f32)>,
    /// Tokens of the prompt that were in the cache.
    pub cached_prompt_tokens: usize,
    /// Tokens written, an end-of-turn token included.
    pub completion_tokens: usize,
    /// How long it took.
    pub took: Duration,
}

/// Counts what is spent, and keeps exchanges where they are wanted.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) spent: Spent,
    /// None where nobody wants them.
    exchanges: Option<Vec<Exchange>>,
}

impl Account {
    pub(super) fn new(record: bool) -> Self {
        Self { spent: Spent::default(), exchanges: record.then(Vec::new) }
    }

    /// Something was asked: `told` says what, and is called only where somebody wants to know.
    pub(super) fn asked(&mut self, prompt_tokens: usize, completion_tokens: usize, told: impl FnOnce() -> Exchange) {
        self.spent.prompt_tokens += prompt_tokens;
        self.spent.completion_tokens += completion_tokens;
        if let Some(exchanges) = &mut self.exchanges {
            exchanges.push(told());
        }
    }

    /// What was asked, in order.
    pub(super) fn exchanges(self) -> Vec<Exchange> {
        self.exchanges.unwrap_or_default()
    }
}
