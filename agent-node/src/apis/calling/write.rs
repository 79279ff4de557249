//! One answer, under a grammar or without, with what it cost.

use std::time::{Duration, Instant};

use synod_models::{
    engine::{Engine, EngineError, Event, FinishReason, SequenceOptions},
    grammar::Grammar,
};

use super::{CallError, CallOptions, Exchange};
use crate::prompt::Stretch;

/// What a model wrote.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub(super) text: String,
    tokens: Vec<Token>,
    pub(super) prompt_tokens: usize,
    cached_prompt_tokens: usize,
    pub(super) completion_tokens: usize,
    took: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Token {
    id: u32,
    /// Bytes of text.
    bytes: usize,
    /// Among those that the grammar allowed.
    logprob: f32,
}

impl Written {
    /// The probability of the first `bytes` of the text, among everything that the grammar allowed in their place.
    pub(super) fn probability(&self, bytes: usize) -> f64 {
        let mut at = 0;
        let within = self.tokens.iter().take_while(|token| {
            at += token.bytes;
            at - token.bytes < bytes
        });
        within.map(|token| f64::from(token.logprob)).sum::<f64>().exp()
    }

    /// The exchange that it ended.
    pub(super) fn told(&self, purpose: String, prompt: Stretch, schema: String) -> Exchange {
        Exchange {
            purpose,
            prompt,
            schema,
            text: self.text.clone(),
            tokens: self.tokens.iter().map(|token| (token.id, token.logprob)).collect(),
            cached_prompt_tokens: self.cached_prompt_tokens,
            completion_tokens: self.completion_tokens,
            took: self.took,
        }
    }
}

/// Writes an answer to `prompt`, which fits `schema` if there is one. Blocks; an engine whose queue is full is asked again.
pub(super) fn write(
    engine: &Engine,
    prompt: &[u32],
    schema: Option<String>,
    options: &CallOptions,
) -> Result<Written, CallError> {
    let began = Instant::now();
    let is_free = schema.is_none();
    let max_tokens = options.max_tokens;
    let mut sequence = engine.open(SequenceOptions {
        sampling: options.sampling.clone(),
        max_tokens,
        stop: Vec::new(),
        ignore_end: false,
        top_logprobs: 0,
        grammar: schema.map(Grammar::JsonSchema),
        prompt_lookup: true,
    })?;
    sequence.prompt.append(prompt)?;
    sequence.prompt.finish()?;
    let (mut text, mut tokens) = (String::new(), Vec::new());
    while let Some(event) = sequence.events.blocking_next() {
        if options.abandoned.is_cancelled() {
            return Err(CallError::Abandoned);
        }
        match event? {
            Event::Token(token) => {
                tokens.push(Token { id: token.id, bytes: token.text.len(), logprob: token.logprob });
                text += &token.text;
            }
            Event::Finished(finished) => {
                text += &finished.text;
                let written = Written {
                    text,
                    tokens,
                    prompt_tokens: finished.prompt_tokens,
                    cached_prompt_tokens: finished.cached_prompt_tokens,
                    completion_tokens: finished.completion_tokens,
                    took: began.elapsed(),
                };
                return match finished.reason {
                    FinishReason::Stop => Ok(written),
                    // Words are of use up to where they end.
                    FinishReason::Length if is_free => Ok(written),
                    FinishReason::Length => Err(CallError::Cut { max_tokens }),
                };
            }
        }
    }
    Err(CallError::Engine(EngineError::Stopped))
}
