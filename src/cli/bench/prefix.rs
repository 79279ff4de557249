//! A long beginning that requests share: computed once, and how it weighs on decoding.

use serde::Serialize;
use synod_models::engine::Engine;

use super::{EngineBench, median, work};
use crate::exit::Failure;

const SHORT: usize = 50;
const LONG: usize = 1_000;

#[derive(Serialize)]
pub(super) struct Prefix {
    model: String,
    shared_tokens: usize,
    prompt_tokens: usize,
    /// Of the second request's prompt.
    cached_prompt_tokens: usize,
    first_prefill_ms: f64,
    second_prefill_ms: f64,
    sequences: usize,
    /// All sequences over a short shared beginning, and over a long one.
    short_tok_s: f64,
    long_tok_s: f64,
    long_to_short: f64,
}

impl std::fmt::Display for Prefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { model, shared_tokens, prompt_tokens, cached_prompt_tokens, sequences, .. } = self;
        writeln!(f, "{model}, {shared_tokens} tokens shared")?;
        writeln!(f, "  first prompt   {:>8.1} ms", self.first_prefill_ms)?;
        let second = self.second_prefill_ms;
        writeln!(f, "  second prompt  {second:>8.1} ms, {cached_prompt_tokens} of {prompt_tokens} tokens reused")?;
        writeln!(f, "  {sequences} sequences over {SHORT:>5} tokens  {:>8.1} tok/s", self.short_tok_s)?;
        write!(
            f,
            "  {sequences} sequences over {LONG:>5} tokens  {:>8.1} tok/s, × {:.3}",
            self.long_tok_s, self.long_to_short
        )
    }
}

pub(super) fn measure(bench: &EngineBench, engine: &Engine) -> Result<Prefix, Failure> {
    let prefill = |prompt: &[u32]| work::run(engine, prompt, work::options(2));
    prefill(&work::prompt(engine, LONG, 0))?; // once to warm up
    let mut prompt = work::prompt(engine, LONG, 1);
    let first = prefill(&prompt)?.finished;
    prompt.extend(work::prompt(engine, SHORT, 2));
    let second = prefill(&prompt)?.finished;
    let (mut short, mut long, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..bench.rounds.max(1) {
        let rate = |tokens: usize| {
            let prompt = work::prompt(engine, tokens, 10 + round);
            work::rate_together(engine, &prompt, bench.decode_tokens, bench.sequences.max(1))
        };
        let rates = (rate(SHORT)?, rate(LONG)?);
        short.push(rates.0);
        long.push(rates.1);
        ratios.push(rates.1 / rates.0);
    }
    Ok(Prefix {
        model: bench.model.clone(),
        shared_tokens: LONG,
        prompt_tokens: second.prompt_tokens,
        cached_prompt_tokens: second.cached_prompt_tokens,
        first_prefill_ms: first.prefill.as_secs_f64() * 1e3,
        second_prefill_ms: second.prefill.as_secs_f64() * 1e3,
        sequences: bench.sequences,
        short_tok_s: median(short),
        long_tok_s: median(long),
        long_to_short: median(ratios),
    })
}
