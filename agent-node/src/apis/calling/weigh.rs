//! How likely a model finds a text, on account.

use std::time::Instant;

use synod_models::{
    engine::{Engine, Likelihood},
    text::ChatMessage,
};

use super::{CallError, Exchange, account::Account};
use crate::prompt::Stretch;

/// The same conversation with nothing requested: what a model thinks then is its own.
pub(super) fn silent(conversation: &[ChatMessage]) -> Vec<ChatMessage> {
    let mut silent = conversation.to_vec();
    if let Some(last) = silent.last_mut() {
        "N/A".clone_into(&mut last.content);
    }
    silent
}

/// Weighs `text` after `beginning`, and the tokens `next` after both; `prompt` is what of it a record shows. On record are the
/// tokens `next`, or, where there are none, those of the text.
pub(super) fn weigh(
    engine: &Engine,
    purpose: String,
    prompt: &Stretch,
    (beginning, text, next): (&[u32], &[u32], &[u32]),
    account: &mut Account,
) -> Result<Likelihood, CallError> {
    let began = Instant::now();
    let likelihood = engine.likelihood(beginning, text, next)?;
    let (ids, weights) = if next.is_empty() { (text, &likelihood.tokens) } else { (next, &likelihood.next) };
    account.asked(likelihood.computed, 0, || Exchange {
        purpose,
        prompt: prompt.clone(),
        schema: String::new(),
        text: String::new(),
        tokens: ids.iter().copied().zip(weights.iter().copied()).collect(),
        cached_prompt_tokens: beginning.len() + text.len() - likelihood.computed,
        completion_tokens: 0,
        took: began.elapsed(),
    });
    Ok(likelihood)
}
