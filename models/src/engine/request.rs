//! What a caller asks of the engine, and what it gets back.

use std::time::Duration;

use crate::grammar::Grammar;

/// How tokens are drawn from a model's logits. Applied in this order: repetition penalty, temperature, top-k, top-p,
/// min-p, draw.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// Softmax temperature; 0 is greedy and ignores the other knobs but the penalty.
    pub temperature: f32,
    /// Keep the k likeliest tokens; 0 keeps all.
    pub top_k: usize,
    /// Nucleus sampling (Holtzman 2019, arXiv 1904.09751): keep the likeliest tokens whose probabilities reach this sum;
    /// 1 keeps all.
    pub top_p: f32,
    /// Keep tokens at least this share of the likeliest one's probability (arXiv 2407.01082); 0 keeps all.
    pub min_p: f32,
    /// Divides (or multiplies, where negative) the logits of tokens seen in the last 64 (CTRL, arXiv 1909.05858); 1 is none.
    pub repetition_penalty: f32,
    /// Seeds this sequence's random numbers: same build, prompt, sampling and seed give the same text.
    pub seed: u64,
}

impl Sampling {
    /// The likeliest token, always.
    pub fn greedy() -> Self {
        Self { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, repetition_penalty: 1.0, seed: 0 }
    }

    /// Says what is out of range, if anything is.
    pub fn validate(&self) -> Result<(), String> {
        let Self { temperature, top_p, min_p, repetition_penalty, .. } = *self;
        let check = |ok: bool, what: &str| if ok { Ok(()) } else { Err(what.to_owned()) };
        check((0.0..=2.0).contains(&temperature), &format!("temperature is {temperature}, must be from 0 to 2"))?;
        check(top_p > 0.0 && top_p <= 1.0, &format!("top_p is {top_p}, must be above 0 and at most 1"))?;
        check((0.0..1.0).contains(&min_p), &format!("min_p is {min_p}, must be from 0 to below 1"))?;
        check(
            repetition_penalty > 0.0 && repetition_penalty <= 2.0,
            &format!("repetition_penalty is {repetition_penalty}, must be above 0 and at most 2"),
        )
    }
}

/// Everything about a sequence but its prompt, which is appended as it becomes known.
#[derive(Debug, Clone, PartialEq)]
pub struct SequenceOptions {
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// The most tokens to write; the context's end may come first.
    pub max_tokens: usize,
    /// The text ends before the first of these.
    pub stop: Vec<String>,
    /// Go on past end-of-turn tokens (benchmarks).
    pub ignore_end: bool,
    /// How many alternatives to report with each token.
    pub top_logprobs: usize,
    /// What the text must match.
    pub grammar: Option<Grammar>,
    /// Guess tokens from runs that stood in prompt or answer before, where that is faster. Never changes what is written.
    pub prompt_lookup: bool,
}

/// Why a sequence ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// The model ended its turn, or a stop string came.
    Stop,
    /// `max_tokens` or the context's end was reached.
    Length,
}

/// One written token.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenEvent {
    /// The token.
    pub id: u32,
    /// Whole characters that this token completed; may be empty.
    pub text: String,
    /// Natural logarithm of the token's probability before temperature, among those that the grammar allows.
    pub logprob: f32,
    /// The likeliest tokens, best first, as many as were asked for.
    pub top: Vec<(u32, f32)>,
}

/// The end of a sequence.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// Why.
    pub reason: FinishReason,
    /// Characters that were still held back (a possible stop string, an incomplete character).
    pub text: String,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Prompt tokens whose keys and values were already in the cache.
    pub cached_prompt_tokens: usize,
    /// Tokens written, an end-of-turn token included.
    pub completion_tokens: usize,
    /// Tokens guessed by prompt lookup.
    pub lookup_tokens: usize,
    /// How many of them were right.
    pub lookup_accepted: usize,
    /// Tokens that the grammar left no choice about, which were written without asking the model.
    pub forced_tokens: usize,
    /// Mean log-probability of the tokens drawn.
    pub mean_logprob: f64,
    /// From submission to the first prefill step.
    pub queued: Duration,
    /// From the first prefill step to the first token.
    pub prefill: Duration,
    /// From the first token to the last.
    pub decode: Duration,
}

/// What happens to a sequence, in order: tokens, then one `Finished`, or one error in place of the rest.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A token was written.
    Token(TokenEvent),
    /// The sequence ended.
    Finished(Finished),
}
