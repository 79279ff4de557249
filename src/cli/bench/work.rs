//! Sequences to measure, and when their tokens came.

use std::time::Instant;

use synod_models::engine::{Engine, EngineError, Event, Events, Finished, Sampling, SequenceOptions};

use crate::{cli::models::open, exit::Failure};

/// A sequence that ended.
pub(super) struct Written {
    pub(super) ids: Vec<u32>,
    /// When each token came.
    pub(super) times: Vec<Instant>,
    pub(super) finished: Finished,
}

impl Written {
    /// Tokens a second from the first to the last.
    pub(super) fn rate(&self) -> f64 {
        let (Some(first), Some(last)) = (self.times.first(), self.times.last()) else { return f64::NAN };
        (self.times.len() - 1) as f64 / last.duration_since(*first).as_secs_f64()
    }
}

/// The likeliest tokens, `max_tokens` of them whatever they are, without guesses.
pub(super) fn options(max_tokens: usize) -> SequenceOptions {
    SequenceOptions {
        sampling: Sampling::greedy(),
        max_tokens,
        stop: Vec::new(),
        ignore_end: true,
        top_logprobs: 0,
        grammar: None,
        prompt_lookup: false,
    }
}

/// A prompt of `count` tokens; another for each `salt`, from the first token on: what the cache has needs no prefill.
pub(super) fn prompt(engine: &Engine, count: usize, salt: usize) -> Vec<u32> {
    let vocabulary = engine.info().vocab_size.min(20_000);
    (0..count).map(|i| ((100 + 7 * i + 1_009 * salt) % vocabulary) as u32).collect()
}

/// Opens a sequence over a whole prompt.
pub(super) fn start(engine: &Engine, prompt: &[u32], options: SequenceOptions) -> Result<Events, Failure> {
    let mut sequence = engine.open(options).map_err(open::unusable)?;
    sequence.prompt.append(prompt).and_then(|()| sequence.prompt.finish()).map_err(open::unusable)?;
    Ok(sequence.events)
}

/// Reads a sequence to its end.
pub(super) fn read(events: Events) -> Result<Written, Failure> {
    read_events(events).map_err(open::unusable)
}

/// Reads several sequences to their ends, side by side.
pub(super) fn read_all(events: Vec<Events>) -> Result<Vec<Written>, Failure> {
    let written: Result<_, EngineError> = std::thread::scope(|scope| {
        let readers: Vec<_> = events.into_iter().map(|events| scope.spawn(move || read_events(events))).collect();
        readers.into_iter().map(|reader| reader.join().unwrap_or(Err(EngineError::Stopped))).collect()
    });
    written.map_err(open::unusable)
}

/// One sequence from prompt to end.
pub(super) fn run(engine: &Engine, prompt: &[u32], options: SequenceOptions) -> Result<Written, Failure> {
    read(start(engine, prompt, options)?)
}

/// Tokens a second of `count` sequences over one prompt, while all of them write.
pub(super) fn rate_together(engine: &Engine, prompt: &[u32], tokens: usize, count: usize) -> Result<f64, Failure> {
    let events = (0..count).map(|_| start(engine, prompt, options(tokens))).collect::<Result<_, _>>()?;
    let written = read_all(events)?;
    // Whoever is first waits with its second token for nobody: count only what is written once all have begun.
    let begin = written.iter().filter_map(|written| written.times.first()).max();
    let end = written.iter().filter_map(|written| written.times.last()).min();
    let (Some(&begin), Some(&end)) = (begin, end) else { return Ok(f64::NAN) };
    let counted = written.iter().flat_map(|written| &written.times).filter(|&&at| at > begin && at <= end).count();
    Ok(counted as f64 / end.duration_since(begin).as_secs_f64())
}

fn read_events(mut events: Events) -> Result<Written, EngineError> {
    let (mut ids, mut times) = (Vec::new(), Vec::new());
    while let Some(event) = events.blocking_next() {
        match event? {
            Event::Token(token) => {
                ids.push(token.id);
                times.push(Instant::now());
            }
            Event::Finished(finished) => return Ok(Written { ids, times, finished }),
        }
    }
    Err(EngineError::Stopped)
}
