//! A prompt that arrives in parts is computed while it arrives.

use std::time::{Duration, Instant};

use serde::Serialize;
use synod_models::engine::{Engine, SequenceOptions};

use super::{EngineBench, median, work};
use crate::{cli::models::open, exit::Failure};

const PARTS: usize = 3;
const PART_TOKENS: usize = 256;
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Serialize)]
pub(super) struct Streaming {
    model: String,
    parts: usize,
    part_tokens: usize,
    /// From the last token sent to the first token written.
    at_once_ms: f64,
    in_parts_ms: f64,
    ratio: f64,
    same_text: bool,
}

impl std::fmt::Display for Streaming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { model, parts, part_tokens, at_once_ms, in_parts_ms, ratio, same_text } = self;
        writeln!(f, "{model}, {parts} parts of {part_tokens} tokens, a second apart")?;
        writeln!(f, "  at once   first token after {at_once_ms:>8.1} ms")?;
        writeln!(f, "  in parts  first token after {in_parts_ms:>8.1} ms, × {ratio:.3}")?;
        write!(f, "  texts are {}", if *same_text { "the same" } else { "NOT the same" })
    }
}

pub(super) fn measure(bench: &EngineBench, engine: &Engine) -> Result<Streaming, Failure> {
    let options = work::options(bench.decode_tokens);
    work::run(engine, &work::prompt(engine, PARTS * PART_TOKENS, 0), options.clone())?; // once to warm up
    let (mut at_once, mut in_parts, mut same) = (Vec::new(), Vec::new(), true);
    for round in 0..bench.rounds.max(1) {
        // The same tokens behind two different first ones: neither finds the other in the cache. The texts are compared
        // with the parts' own prompt sent again.
        let prompt = |salt: usize| work::prompt(engine, PARTS * PART_TOKENS, salt);
        let (once, _) = arrive(engine, &prompt(2 * round + 1), PARTS * PART_TOKENS, options.clone())?;
        let (parts, text) = arrive(engine, &prompt(2 * round + 2), PART_TOKENS, options.clone())?;
        let fresh = work::run(engine, &prompt(2 * round + 2), options.clone())?;
        same &= fresh.ids == text;
        at_once.push(once);
        in_parts.push(parts);
    }
    let (at_once, in_parts) = (median(at_once), median(in_parts));
    Ok(Streaming {
        model: bench.model.clone(),
        parts: PARTS,
        part_tokens: PART_TOKENS,
        at_once_ms: at_once,
        in_parts_ms: in_parts,
        ratio: in_parts / at_once,
        same_text: same,
    })
}

/// Sends a prompt in parts with a pause between; milliseconds from the last part to the first token, and the text.
fn arrive(engine: &Engine, prompt: &[u32], part: usize, options: SequenceOptions) -> Result<(f64, Vec<u32>), Failure> {
    let mut sequence = engine.open(options).map_err(open::unusable)?;
    let mut sent = Instant::now();
    for (number, part) in prompt.chunks(part).enumerate() {
        if number > 0 {
            std::thread::park_timeout(PAUSE);
        }
        sent = Instant::now();
        sequence.prompt.append(part).map_err(open::unusable)?;
    }
    sequence.prompt.finish().map_err(open::unusable)?;
    let written = work::read(sequence.events)?;
    let first = written.times.first().copied().unwrap_or(sent);
    Ok((first.duration_since(sent).as_secs_f64() * 1e3, written.ids))
}
