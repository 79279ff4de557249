//! What the choice of a node goes by.

use super::{Call, pace::Pace, prefix::Fingerprint};

/// What a call needs of a node.
#[derive(Debug, Clone)]
pub struct Wanted<'c> {
    /// The model that should answer.
    pub model: &'c str,
    pub(super) prompt: Fingerprint,
    max_tokens: Option<u32>,
}

impl<'c> Wanted<'c> {
    /// Any node that hosts the model.
    pub fn model(model: &'c str) -> Self {
        Self { model, prompt: Fingerprint::default(), max_tokens: None }
    }

    /// Of a call, as far as its prompt is known.
    pub(crate) fn of(call: &'c Call) -> Self {
        let max_tokens = call.sampling.max_tokens.map(|tokens| tokens.get());
        Self { model: &call.model, prompt: Fingerprint::of(call), max_tokens }
    }

    /// How many tokens it will write, as far as one can know.
    pub(super) fn answer_tokens(&self, pace: &Pace) -> f64 {
        let usual = pace.answer_tokens();
        self.max_tokens.map_or(usual, |most| usual.min(f64::from(most)))
    }
}
