//! One answer, under a grammar or without, with what it cost.

use synod_models::{
    engine::{Engine, EngineError, Event, FinishReason, SequenceOptions},
    grammar::Grammar,
};

use super::{CallError, CallOptions};

/// What a model wrote.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub(super) text: String,
    /// Each token's bytes of text and its log-probability among those that the grammar allowed.
    tokens: Vec<(usize, f32)>,
    pub(super) prompt_tokens: usize,
    pub(super) completion_tokens: usize,
}

impl Written {
    /// The probability of the first `bytes` of the text, among everything that the grammar allowed in their place.
    pub(super) fn probability(&self, bytes: usize) -> f64 {
        let mut at = 0;
        let within = self.tokens.iter().take_while(|(length, _)| {
            at += length;
            at - length < bytes
        });
        within.map(|(_, logprob)| f64::from(*logprob)).sum::<f64>().exp()
    }
}

/// Writes an answer to `prompt`, which fits `schema` if there is one. Blocks; an engine whose queue is full is asked again.
pub(super) fn write(
    engine: &Engine,
    prompt: &[u32],
    schema: Option<String>,
    options: &CallOptions,
) -> Result<Written, CallError> {
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
    let mut written = Written { text: String::new(), tokens: Vec::new(), prompt_tokens: 0, completion_tokens: 0 };
    while let Some(event) = sequence.events.blocking_next() {
        if options.abandoned.is_cancelled() {
            return Err(CallError::Abandoned);
        }
        match event? {
            Event::Token(token) => {
                written.tokens.push((token.text.len(), token.logprob));
                written.text += &token.text;
            }
            Event::Finished(finished) => {
                written.text += &finished.text;
                (written.prompt_tokens, written.completion_tokens) =
                    (finished.prompt_tokens, finished.completion_tokens);
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
