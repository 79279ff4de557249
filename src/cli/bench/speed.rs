//! Prefill, one sequence, several sequences.

use std::{fs, time::Instant};

use serde::Serialize;
use synod_models::store::Store;

use super::{EngineBench, median, work};
use crate::{
    cli::{Context, models::open},
    exit::Failure,
};

#[derive(Serialize)]
pub(super) struct Speed {
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

impl std::fmt::Display for Speed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { model, threads, sequences, load_ms, .. } = self;
        writeln!(f, "{model} on {threads} threads")?;
        writeln!(f, "  prefill     {:>8.1} tok/s", self.prefill_tok_s)?;
        writeln!(f, "  decode      {:>8.1} tok/s", self.decode_tok_s)?;
        writeln!(f, "  {sequences} sequences {:>8.1} tok/s", self.batched_decode_tok_s)?;
        writeln!(f, "  loaded in   {load_ms:>8} ms")?;
        write!(f, "  peak memory {:>8} MB", self.peak_rss_bytes / 1_000_000)
    }
}

pub(super) fn measure(bench: &EngineBench, store: &Store, context: &Context) -> Result<Speed, Failure> {
    let started = Instant::now();
    let engine = open::engine(store, &bench.model, bench.threads, bench.device, context)?;
    let load_ms = started.elapsed().as_millis() as u64;
    let prompt = |round: usize| work::prompt(&engine, bench.prompt_tokens, round);
    work::run(&engine, &prompt(0), work::options(bench.decode_tokens))?; // once to warm up
    let (mut prefill, mut decode, mut batched) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=bench.rounds.max(1) {
        let alone = work::run(&engine, &prompt(round), work::options(bench.decode_tokens))?;
        prefill.push(bench.prompt_tokens as f64 / alone.finished.prefill.as_secs_f64());
        decode.push(alone.rate());
        let count = bench.sequences.max(1);
        batched.push(work::rate_together(&engine, &prompt(round), bench.decode_tokens, count)?);
    }
    Ok(Speed {
        model: bench.model.clone(),
        prefill_tok_s: median(prefill),
        decode_tok_s: median(decode),
        batched_decode_tok_s: median(batched),
        threads: threads(bench.threads),
        device: engine.options().device.name(),
        load_ms,
        peak_rss_bytes: peak_rss_bytes(),
        prompt_tokens: bench.prompt_tokens,
        decode_tokens: bench.decode_tokens,
        sequences: bench.sequences,
    })
}

/// How many threads `asked` means.
pub(super) fn threads(asked: usize) -> usize {
    match asked {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n,
    }
}

/// The most memory this process has held, as the kernel counts it; 0 where it does not say.
fn peak_rss_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}
