//! `synod bench …`: speed, measured through the same engine that serves.

use std::fs;
use std::time::Instant;

use clap::{Args, Subcommand};
use serde::Serialize;
use synod_models::engine::{Device, Engine, Event, Finished, Sampling, SequenceOptions};

use super::{Context, models::open};
use crate::exit::Failure;

/// Measure speed
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// One model in this process: prefill, one sequence, several sequences
    Engine(EngineBench),
}

/// One model in this process: prefill, one sequence, several sequences
#[derive(Debug, Args)]
pub(crate) struct EngineBench {
    /// Which model
    #[arg(long, value_name = "NAME")]
    model: String,
    /// Tokens of the prompt
    #[arg(long, value_name = "N", default_value_t = 512)]
    prompt_tokens: usize,
    /// Tokens to write, a sequence
    #[arg(long, value_name = "N", default_value_t = 64)]
    decode_tokens: usize,
    /// Sequences that share the prompt and decode together
    #[arg(long, value_name = "N", default_value_t = 6)]
    sequences: usize,
    /// Threads, 0 for one a core
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// How often to measure; the median is told
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: usize,
    #[command(flatten)]
    device: open::DeviceFlag,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Measured {
    model: String,
    prefill_tok_s: f64,
    decode_tok_s: f64,
    batched_decode_tok_s: f64,
    threads: usize,
    device: &'static str,
    load_ms: u64,
    peak_rss_bytes: u64,
    prompt_tokens: usize,
    decode_tokens: usize,
    sequences: usize,
}

pub(super) async fn run(bench: Bench, context: Context) -> Result<(), Failure> {
    let Bench::Engine(bench) = bench;
    let config = context.layers().load()?;
    let store = context.store(&config)?;
    let working = context.clone();
    context.blocking(move || engine(&bench, &store, &working)).await
}

fn engine(bench: &EngineBench, store: &synod_models::store::Store, context: &Context) -> Result<(), Failure> {
    bench.device.ready()?;
    open::path(store, &bench.model, context)?; // a download is not loading
    let started = Instant::now();
    let engine = open::engine(store, &bench.model, bench.threads, bench.device, context)?;
    let device = engine.options().device;
    let load_ms = started.elapsed().as_millis() as u64;
    let threads = match bench.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n,
    };
    together(&engine, bench, 1)?; // once to warm up
    let (mut prefill, mut decode, mut batched) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.rounds.max(1) {
        let (seconds, rate) = together(&engine, bench, 1)?;
        prefill.push(bench.prompt_tokens as f64 / seconds);
        decode.push(rate);
        batched.push(together(&engine, bench, bench.sequences.max(1))?.1);
    }
    let measured = Measured {
        model: bench.model.clone(),
        prefill_tok_s: median(prefill),
        decode_tok_s: median(decode),
        batched_decode_tok_s: median(batched),
        threads,
        device: device.name(),
        load_ms,
        peak_rss_bytes: peak_rss_bytes(),
        prompt_tokens: bench.prompt_tokens,
        decode_tokens: bench.decode_tokens,
        sequences: bench.sequences,
    };
    if bench.json {
        return context.output.json(&measured);
    }
    let Measured { prefill_tok_s, decode_tok_s, batched_decode_tok_s, sequences, peak_rss_bytes, .. } = &measured;
    let on = if device == Device::Cpu { format!("{threads} threads") } else { device.name().to_owned() };
    context.output.text(&format!(
        "{} on {on}\n  prefill     {prefill_tok_s:>8.1} tok/s\n  decode      {decode_tok_s:>8.1} tok/s\n  \
         {sequences} sequences {batched_decode_tok_s:>8.1} tok/s\n  loaded in   {load_ms:>8} ms\n  peak memory {:>8} MB",
        measured.model,
        peak_rss_bytes / 1_000_000
    ))
}

/// Decodes `count` sequences over one prompt. Seconds of the first one's prefill, and tokens a second of them all while
/// all of them decode.
fn together(engine: &Engine, bench: &EngineBench, count: usize) -> Result<(f64, f64), Failure> {
    let vocabulary = engine.info().vocab_size as u32;
    let prompt: Vec<u32> = (0..bench.prompt_tokens as u32).map(|i| (100 + 7 * i) % vocabulary.min(20_000)).collect();
    let options = SequenceOptions {
        sampling: Sampling::greedy(),
        max_tokens: bench.decode_tokens,
        stop: Vec::new(),
        ignore_end: true,
        top_logprobs: 0,
    };
    let mut events = Vec::new();
    for _ in 0..count {
        let mut sequence = engine.open(options.clone()).map_err(open::unusable)?;
        sequence.prompt.append(&prompt).and_then(|()| sequence.prompt.finish()).map_err(open::unusable)?;
        events.push(sequence.events);
    }
    // Whoever is first waits with its second token for nobody: count only what is written once all have begun.
    let mut counted: Vec<Vec<Instant>> = Vec::new();
    let mut finished: Vec<Finished> = Vec::new();
    std::thread::scope(|scope| -> Result<(), Failure> {
        let readers: Vec<_> = events.into_iter().map(|events| scope.spawn(move || read(events))).collect();
        for reader in readers {
            let (times, end) = reader.join().unwrap_or_else(|_| Ok((Vec::new(), None))).map_err(open::unusable)?;
            counted.push(times);
            finished.extend(end);
        }
        Ok(())
    })?;
    let begin = counted.iter().filter_map(|times| times.first()).max();
    let end = counted.iter().filter_map(|times| times.last()).min();
    let (Some(&begin), Some(&end)) = (begin, end) else { return Ok((f64::NAN, f64::NAN)) };
    let written = counted.iter().flatten().filter(|&&at| at > begin && at <= end).count();
    let prefill = finished.first().map_or(f64::NAN, |finished| finished.prefill.as_secs_f64());
    Ok((prefill, written as f64 / end.duration_since(begin).as_secs_f64()))
}

type Read = Result<(Vec<Instant>, Option<Finished>), synod_models::engine::EngineError>;

fn read(mut events: synod_models::engine::Events) -> Read {
    let (mut times, mut finished) = (Vec::new(), None);
    while let Some(event) = events.blocking_next() {
        match event? {
            Event::Token(_) => times.push(Instant::now()),
            Event::Finished(end) => finished = Some(end),
        }
    }
    Ok((times, finished))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The most memory this process has held, as the kernel counts it; 0 where it does not say.
fn peak_rss_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}
