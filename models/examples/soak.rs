//! Hours of what a busy engine sees: requests of 1 to 3,000 tokens in whole and in parts, callers that leave, a queue that
//! overflows, and memory for far fewer sequences than run. Every text must be what the same request writes alone.
//!
//! `cargo run --release -p synod-models --example soak -- [MODEL] [MINUTES]`

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a test to run by hand")]

use std::{
    process::ExitCode,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use synod_models::{
    engine::{Compute, Engine, EngineError, EngineOptions, Event, Sampling, SequenceOptions},
    store::{CancelToken, Silent, Store},
};

const CALLERS: u64 = 12;
const REQUESTS: usize = 80;
const CONTEXT: usize = 4096;

/// A request and what it writes when nothing else runs.
struct Case {
    prompt: Vec<u32>,
    options: SequenceOptions,
    text: Vec<u32>,
}

#[derive(Default)]
struct Counts {
    finished: AtomicUsize,
    left: AtomicUsize,
    refused: AtomicUsize,
    different: AtomicUsize,
    failed: AtomicUsize,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let model = arguments.next().unwrap_or_else(|| "smollm2-135m-instruct".to_owned());
    let minutes: u64 = arguments.next().map_or(30, |minutes| minutes.parse().unwrap());
    let store = Store::open().unwrap();
    let files = store.pull(&model, &Silent, &CancelToken::new()).unwrap();
    let compute = Compute::new(0);
    // Memory for one whole context, which is what is kept at the least.
    let options = EngineOptions {
        max_running: 8,
        max_queued: 4,
        context_length: CONTEXT,
        cache_bytes: 0,
        ..EngineOptions::standard()
    };
    let engine = Engine::load(files.weights(), &compute, options.clone()).unwrap();
    let cases = cases(&Engine::load(files.weights(), &compute, options).unwrap());
    let (counts, stop) = (Counts::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for seed in 0..CALLERS {
            let (engine, cases, counts, stop) = (&engine, &cases, &counts, &stop);
            scope.spawn(move || call(engine, cases, counts, stop, seed));
        }
        let begun = Instant::now();
        for told in (0..2 * minutes).map(|half| begun + Duration::from_secs(30 * (half + 1))) {
            while Instant::now() < told {
                std::thread::park_timeout(told.duration_since(Instant::now()));
            }
            println!("{:>5} s  {}", begun.elapsed().as_secs(), state(&counts));
        }
        stop.store(true, Relaxed);
    });
    println!("end      {}", state(&counts));
    let bad = counts.different.load(Relaxed) + counts.failed.load(Relaxed);
    if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn cases(engine: &Engine) -> Vec<Case> {
    let mut rng = Pcg64Mcg::seed_from_u64(1);
    let vocabulary = engine.info().vocab_size as u32;
    let mut prompts: Vec<Vec<u32>> = Vec::new();
    let mut cases = Vec::new();
    for number in 0..REQUESTS {
        let length = if number % 4 == 0 { rng.random_range(1..40) } else { rng.random_range(1..=3000) };
        // Half of the prompts begin as an earlier one does.
        let shared = prompts.get(rng.random_range(0..=number)).filter(|_| number % 2 == 0).cloned().unwrap_or_default();
        let keep = rng.random_range(0..=shared.len().min(length));
        let mut prompt = shared[..keep].to_vec();
        // Runs that come again, so that prompt lookup has something to find.
        while prompt.len() < length {
            match prompt.len() > 20 && rng.random_bool(0.05) {
                true => prompt.extend_from_within(..20),
                false => prompt.push(rng.random_range(100..vocabulary.min(20_000))),
            }
        }
        prompt.truncate(length);
        let options = SequenceOptions {
            sampling: Sampling::greedy(),
            max_tokens: rng.random_range(1..64),
            stop: Vec::new(),
            ignore_end: true,
            top_logprobs: 0,
            grammar: None,
            prompt_lookup: false,
        };
        let text = run(engine, &prompt, options.clone(), usize::MAX, prompt.len(), Duration::ZERO).unwrap().0;
        prompts.push(prompt.clone());
        cases.push(Case { prompt, options: SequenceOptions { prompt_lookup: number % 3 > 0, ..options }, text });
    }
    println!("{REQUESTS} requests run alone");
    cases
}

fn call(engine: &Engine, cases: &[Case], counts: &Counts, stop: &AtomicBool, seed: u64) {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    while !stop.load(Relaxed) {
        let Case { prompt, options, text } = &cases[rng.random_range(0..cases.len())];
        let most = if rng.random_bool(0.2) { rng.random_range(0..options.max_tokens) } else { usize::MAX };
        let part = if rng.random_bool(0.5) { prompt.len() } else { rng.random_range(1..=prompt.len()) };
        // Where parts come one after the other, the cache may hold a part and not the next.
        let pause = Duration::from_millis(if rng.random_bool(0.5) { rng.random_range(0..400) } else { 0 });
        match run(engine, prompt, options.clone(), most, part, pause) {
            Ok((_, false)) => counts.left.fetch_add(1, Relaxed),
            Ok((written, true)) if written == *text => counts.finished.fetch_add(1, Relaxed),
            Ok((written, true)) => {
                println!("DIFFERENT: {} prompt tokens: {written:?} for {text:?}", prompt.len());
                counts.different.fetch_add(1, Relaxed)
            }
            Err(EngineError::QueueFull { .. }) => {
                std::thread::park_timeout(Duration::from_millis(rng.random_range(1..200)));
                counts.refused.fetch_add(1, Relaxed)
            }
            Err(error) => {
                println!("FAILED: {error}");
                counts.failed.fetch_add(1, Relaxed)
            }
        };
    }
}

/// Runs a request and leaves after `most` tokens; the tokens, and whether they are all.
fn run(
    engine: &Engine,
    prompt: &[u32],
    options: SequenceOptions,
    most: usize,
    part: usize,
    pause: Duration,
) -> Result<(Vec<u32>, bool), EngineError> {
    let mut sequence = engine.open(options)?;
    for part in prompt.chunks(part) {
        sequence.prompt.append(part)?;
        std::thread::park_timeout(pause);
    }
    sequence.prompt.finish()?;
    let mut ids = Vec::new();
    while ids.len() < most {
        match sequence.events.blocking_next() {
            Some(event) => match event? {
                Event::Token(token) => ids.push(token.id),
                Event::Finished(_) => return Ok((ids, true)),
            },
            None => return Err(EngineError::Stopped),
        }
    }
    Ok((ids, false))
}

fn state(counts: &Counts) -> String {
    let Counts { finished, left, refused, different, failed } = counts;
    let [finished, left, refused, different, failed] =
        [finished, left, refused, different, failed].map(|count| count.load(Relaxed));
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("?").trim().to_owned();
    format!(
        "{finished} equal, {left} left early, {refused} refused, {different} different, {failed} failed, {resident}"
    )
}
