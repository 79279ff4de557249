//! `synod plan`

use std::{fs, path::PathBuf};

use clap::Args;
use indicatif::BinaryBytes;
use serde::Serialize;
use synod_models::{
    engine::Compute,
    gguf::GgufFile,
    planner::{Footprint, Forecast, Machine, Memory, PRECISIONS},
    store::Store,
};

use super::{Context, models::open};
use crate::exit::{ExitCode, Failure};

const EXAMPLES: &str = "\
Examples:
  synod plan --model qwen2.5-coder-1.5b-instruct
  synod plan --model smollm2-135m-instruct --context 8192 --sequences 8 --memory 1GiB
  synod plan --file ./mine.gguf --json | jq .total_bytes

Memory:
  weights       matrices in the file's own bits, as panels; vectors as f32
  keys, values  layers · key-value heads · 2 · (head width · 2 + 4) bytes a token, in blocks of 64 tokens
  activations   256 rows of a step's widest layer, and the logits
  overhead      program and tokenizer
The rule of thumb is two bytes a parameter and a fifth more: weights as f16.

Speed is measured for a few seconds: some of the model's layers (more than caches hold) and its output head, with \
one row, a row of each sequence and a prompt's chunk, at the context asked for. All layers take so much longer as they \
have more bytes (writing) or more weights (reading a prompt). What else runs slows it down.";

/// What a model takes of this machine: memory, and how fast it will be
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Plan {
    /// A name from `synod models list`
    #[arg(long, value_name = "NAME", required_unless_present = "file")]
    model: Option<String>,
    /// A model file, in place of a name
    #[arg(long, value_name = "FILE", conflicts_with = "model")]
    file: Option<PathBuf>,
    /// Tokens of a prompt and its answer
    #[arg(long, value_name = "N", default_value_t = 2048, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    context: u32,
    /// Sequences that are written together
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=256))]
    sequences: u32,
    /// Memory to fit into, such as 4GiB or 800MB; this machine's free memory unless given
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    memory: Option<u64>,
    /// Threads that compute; one a core unless given
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Planned {
    model: String,
    architecture: String,
    parameters: u64,
    context: usize,
    sequences: usize,
    weights_bytes: u64,
    kv_bytes_per_token: u64,
    kv_bytes: u64,
    activation_bytes: u64,
    overhead_bytes: u64,
    total_bytes: u64,
    memory_bytes: u64,
    fits: bool,
    rule_of_thumb_bytes: u64,
    precisions: Vec<AtPrecision>,
    threads: usize,
    measured_layers: usize,
    layers: usize,
    bandwidth_bytes_s: f64,
    multiply_adds_s: f64,
    prefill_tok_s: f64,
    decode_tok_s: f64,
    batched_decode_tok_s: f64,
}

/// The model, if its weights had another precision.
#[derive(Serialize)]
struct AtPrecision {
    precision: String,
    weights_bytes: u64,
    total_bytes: u64,
    fits: bool,
    /// How long sequences could be, that many of them.
    max_context: u64,
    /// How many sequences could be written together, that long.
    max_sequences: u64,
}

pub(super) async fn run(plan: Plan, context: Context) -> Result<(), Failure> {
    let config = context.layers().load()?;
    let store = context.store(&config)?;
    let working = context.clone();
    context.blocking(move || make(&plan, &store, &working)).await
}

fn make(plan: &Plan, store: &Store, context: &Context) -> Result<(), Failure> {
    let file = match (&plan.file, &plan.model) {
        (Some(path), _) => GgufFile::open(path).map_err(open::unusable)?,
        (None, name) => open::file(store, name.as_deref().unwrap_or_default(), context)?,
    };
    let footprint = Footprint::of(&file).map_err(open::unusable)?;
    let planned = planned(plan, &file, &footprint, context)?;
    if plan.json { context.output.json(&planned) } else { context.output.text(&planned.to_string()) }
}

fn planned(plan: &Plan, file: &GgufFile, footprint: &Footprint, context: &Context) -> Result<Planned, Failure> {
    let (length, sequences) = (plan.context as usize, plan.sequences as usize);
    let memory = footprint.memory(length, sequences);
    let room = plan.memory.unwrap_or_else(available);
    let compute = Compute::new(plan.threads);
    let measured = Machine::measure(file, &compute, footprint, length, sequences, context.interrupt.token());
    let Some(machine) = measured.map_err(open::unusable)? else {
        return Err(Failure::new(ExitCode::Interrupted, "interrupted while measuring"));
    };
    let Forecast { prefill, decode, batched_decode } = machine.forecast;
    let Memory { weights, cache, activations, overhead } = memory;
    Ok(Planned {
        model: plan.model.clone().unwrap_or_else(|| plan.file.iter().map(|file| file.display().to_string()).collect()),
        architecture: file.architecture().map_err(open::unusable)?.to_owned(),
        parameters: footprint.parameters,
        context: length,
        sequences,
        weights_bytes: weights,
        kv_bytes_per_token: footprint.cache_per_token(),
        kv_bytes: cache,
        activation_bytes: activations,
        overhead_bytes: overhead,
        total_bytes: memory.total(),
        memory_bytes: room,
        fits: memory.total() <= room,
        rule_of_thumb_bytes: footprint.rule_of_thumb(),
        precisions: precisions(footprint, &memory, room, plan),
        threads: machine.threads,
        measured_layers: machine.layers,
        layers: footprint.config.layers,
        bandwidth_bytes_s: machine.bytes_per_s,
        multiply_adds_s: machine.multiply_adds_per_s,
        prefill_tok_s: prefill,
        decode_tok_s: decode,
        batched_decode_tok_s: batched_decode,
    })
}

fn precisions(footprint: &Footprint, memory: &Memory, room: u64, plan: &Plan) -> Vec<AtPrecision> {
    let at = |precision| {
        let weights = footprint.weights_at(precision);
        let total = weights + memory.total() - memory.weights;
        let tokens = room.saturating_sub(total - memory.cache) / footprint.cache_per_token().max(1);
        AtPrecision {
            precision: precision.name(),
            weights_bytes: weights,
            total_bytes: total,
            fits: total <= room,
            max_context: (tokens / u64::from(plan.sequences)).min(footprint.config.context_length as u64),
            max_sequences: tokens / u64::from(plan.context),
        }
    };
    PRECISIONS.into_iter().map(at).collect()
}

impl std::fmt::Display for Planned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fits = |fits| if fits { "fits" } else { "does not fit" };
        writeln!(f, "{} ({}, {:.0} M parameters)", self.model, self.architecture, self.parameters as f64 / 1e6)?;
        writeln!(f, "  weights      {:>12}  as they are in the file", size(self.weights_bytes))?;
        writeln!(
            f,
            "  keys, values {:>12}  {} tokens · {} sequences · {} a token",
            size(self.kv_bytes),
            self.context,
            self.sequences,
            size(self.kv_bytes_per_token)
        )?;
        writeln!(f, "  activations  {:>12}", size(self.activation_bytes))?;
        writeln!(f, "  overhead     {:>12}", size(self.overhead_bytes))?;
        let verdict = format!("{} into {}", fits(self.fits), size(self.memory_bytes));
        writeln!(f, "  together     {:>12}  {verdict}", size(self.total_bytes))?;
        writeln!(f, "  rule of thumb{:>12}  2 bytes a parameter, × 1.2", size(self.rule_of_thumb_bytes))?;
        writeln!(f, "\n  precision      weights        total                 longest context  most sequences")?;
        for at in &self.precisions {
            let (weights, total) = (size(at.weights_bytes), size(at.total_bytes));
            let (context, sequences) = (at.max_context, at.max_sequences);
            writeln!(
                f,
                "  {:<9} {weights:>12} {total:>12}  {:<12} {context:>16} {sequences:>15}",
                at.precision,
                fits(at.fits)
            )?;
        }
        writeln!(
            f,
            "\n  {} threads, measured on {} of {} layers: weights at {:.1} GB/s, {:.0} G multiply-adds/s",
            self.threads,
            self.measured_layers,
            self.layers,
            self.bandwidth_bytes_s / 1e9,
            self.multiply_adds_s / 1e9
        )?;
        writeln!(f, "  prompt      {:>8.0} tok/s", self.prefill_tok_s)?;
        writeln!(f, "  one writes  {:>8.0} tok/s", self.decode_tok_s)?;
        write!(f, "  {} write    {:>8.0} tok/s together", self.sequences, self.batched_decode_tok_s)
    }
}

fn size(bytes: u64) -> String {
    BinaryBytes(bytes).to_string()
}

/// `4GiB`, `800MB`, `123`
fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let unit = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        other => return Err(format!("`{other}` is no unit of memory: B, KB, MB, GB, KiB, MiB or GiB")),
    };
    let amount: f64 = text[..digits].parse().map_err(|_| format!("`{text}` is no amount of memory, such as 4GiB"))?;
    Ok((amount * unit as f64) as u64)
}

/// Memory that this machine could give a new process; without limit where it does not say.
fn available() -> u64 {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kibibytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kibibytes.map_or(u64::MAX, |kibibytes| kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    #[test]
    fn memory_is_read_with_its_unit() {
        for (text, expected) in [("4GiB", 4 << 30), ("1.5gb", 1_500_000_000), ("12", 12), ("8 m", 8 << 20)] {
            assert_eq!(super::bytes(text), Ok(expected), "{text}");
        }
        super::bytes("many").unwrap_err();
        super::bytes("1XB").unwrap_err();
    }
}
