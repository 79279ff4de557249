//! Speed: what this machine was measured to do with some layers of a model, and what that makes of all of them.

use std::{hint::black_box, sync::Arc, time::Instant};

use synod_kernels::{
    BLOCK_TOKENS,
    attention::{Batch, BatchRow},
};

use super::{Footprint, Matrix, Place};
use crate::{
    arch::{self, CausalLm},
    engine::{Compute, Device, LoadError, STEP_ROWS as CHUNK},
    gguf::GgufFile,
    nn::{Step, Wanted, Workspace},
    store::CancelToken,
};

/// Bytes of the layers that are measured: more than caches hold, as a model is.
const MEASURED_BYTES: u64 = 128 << 20;
/// Bytes of keys and values that are measured with, and the longest context: beyond it attention grows in proportion.
const MEASURED_CACHE: usize = 1 << 28;
const MEASURED_CONTEXT: usize = 1 << 12;
/// Times that a step is measured at least, and the seconds that are taken for it if it is a short one; the median counts.
const ROUNDS: usize = 3;
const SECONDS: f64 = 0.3;

/// What a machine was measured to do with a model.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Threads that compute.
    pub threads: usize,
    /// Layers that were measured.
    pub layers: usize,
    /// Bytes of layers' weights that are read a second, by one row.
    pub bytes_per_s: f64,
    /// Multiply-adds a second in the layers of a prompt.
    pub multiply_adds_per_s: f64,
    /// Tokens a second that should come of it.
    pub forecast: Forecast,
}

/// Tokens a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    /// Reading a prompt.
    pub prefill: f64,
    /// Writing, one sequence.
    pub decode: f64,
    /// Writing, all sequences together.
    pub batched_decode: f64,
}

impl Machine {
    /// Loads as many of the model's layers as caches cannot hold, and measures for some seconds their steps for `sequences`
    /// that are `context` tokens long; none once `cancel` was cancelled.
    ///
    /// # Errors
    /// When the model cannot be loaded, or there is no memory for it.
    pub fn measure(
        file: &GgufFile,
        compute: &Arc<Compute>,
        model: &Footprint,
        context: usize,
        sequences: usize,
        cancel: &CancelToken,
    ) -> Result<Option<Self>, LoadError> {
        let some = measured_layers(model);
        let all: Vec<usize> = (0..model.config.layers).collect();
        let excerpt = Excerpt::load(file, compute, &some, (context, sequences), cancel)?;
        let (bytes, values) = (bytes(model, &some), values(model, &some));
        // One row is bound by the bytes that it reads, a chunk by its multiply-adds.
        let (of_bytes, of_values) = (self::bytes(model, &all) / bytes, self::values(model, &all) / values);
        let rows = CHUNK.min(context);
        let (one, one_head) = (excerpt.layers(1, 1, context), excerpt.head(1, context));
        let (each, each_head) = (excerpt.layers(sequences, sequences, context), excerpt.head(sequences, context));
        // A prompt's rows see half of it on average, and its last one alone asks for logits.
        let chunk = excerpt.layers(rows, 1, (context + rows) / 2);
        let chunks = context as f64 / rows as f64;
        // Without a context to attend to, what is left is the weights.
        let (bare_row, bare_chunk) = (excerpt.layers(1, 1, 1), excerpt.layers(rows, 1, rows));
        if cancel.is_cancelled() {
            return Ok(None);
        }
        Ok(Some(Self {
            threads: compute.team().threads(),
            layers: some.len(),
            bytes_per_s: bytes / bare_row,
            multiply_adds_per_s: values * rows as f64 / bare_chunk,
            forecast: Forecast {
                prefill: context as f64 / (chunk * of_values * chunks + one_head),
                decode: 1.0 / (one * of_bytes + one_head),
                batched_decode: sequences as f64 / (each * of_bytes + each_head),
            },
        }))
    }
}

/// The layers that stand for all: evenly spread, since files hold some layers in more bits than others.
fn measured_layers(model: &Footprint) -> Vec<usize> {
    let all = model.config.layers;
    let spread = |count: usize| (0..count).map(move |nth| nth * all / count).collect::<Vec<_>>();
    let enough = (1..all).map(spread).find(|layers| bytes(model, layers) >= MEASURED_BYTES as f64);
    enough.unwrap_or_else(|| spread(all))
}

/// Bytes of the matrices of `layers`.
fn bytes(model: &Footprint, layers: &[usize]) -> f64 {
    matrices(model, layers).map(|matrix| matrix.format.packed_bytes(matrix.rows, matrix.columns)).sum::<usize>() as f64
}

/// Weights in the matrices of `layers`: multiply-adds of a row.
fn values(model: &Footprint, layers: &[usize]) -> f64 {
    matrices(model, layers).map(|matrix| matrix.rows * matrix.columns).sum::<usize>() as f64
}

fn matrices<'a>(model: &'a Footprint, layers: &'a [usize]) -> impl Iterator<Item = &'a Matrix> {
    model.matrices.iter().filter(|matrix| matches!(matrix.place, Place::Layer(layer) if layers.contains(&layer)))
}

/// Some layers of a model, and its output head.
struct Excerpt<'a> {
    lm: Box<dyn CausalLm>,
    compute: &'a Compute,
    workspace: Arc<Workspace>,
    /// Of the cache, shared by all sequences of a step.
    blocks: usize,
    /// Ends steps between layers, and what is measured with the first.
    cancel: &'a CancelToken,
}

impl<'a> Excerpt<'a> {
    fn load(
        file: &GgufFile,
        compute: &'a Compute,
        layers: &[usize],
        (context, sequences): (usize, usize),
        cancel: &'a CancelToken,
    ) -> Result<Self, LoadError> {
        let device = Device::Cpu.open()?;
        let lm = arch::load_layers(file, layers, &device)?;
        let wanted = context.min(MEASURED_CONTEXT).div_ceil(BLOCK_TOKENS) * sequences;
        let least = sequences.max(CHUNK / BLOCK_TOKENS);
        let blocks = wanted.min(MEASURED_CACHE / lm.kv_shape().block_bytes()).max(least);
        let workspace = Workspace::new(compute.team().clone(), &device, lm.kv_shape(), blocks);
        let excerpt = Self { lm, compute, workspace: Arc::new(workspace.map_err(LoadError::Cache)?), blocks, cancel };
        // Blocks that nothing was written to take no memory, and reading them no time.
        excerpt.run(BLOCK_TOKENS, 1, BLOCK_TOKENS, 0);
        (1..blocks).for_each(|block| excerpt.workspace.copy_block(0, block));
        Ok(excerpt)
    }

    /// Tokens of each of so many sequences that the cache holds.
    fn room(&self, sequences: usize) -> usize {
        (self.blocks / sequences * BLOCK_TOKENS).min(MEASURED_CONTEXT)
    }

    /// Seconds that the last `rows` of sequences of `context` tokens take in the layers.
    fn layers(&self, rows: usize, sequences: usize, context: usize) -> f64 {
        let measured = context.min(self.room(sequences));
        let layers = self.seconds(rows, sequences, measured, 0);
        let half = (measured / 2).max(rows / sequences);
        if context == measured || half == measured {
            return layers;
        }
        let per_token = (layers - self.seconds(rows, sequences, half, 0)).max(0.0) / (measured - half) as f64;
        layers + per_token * (context - measured) as f64
    }

    /// Seconds that the output head takes for `rows`.
    fn head(&self, rows: usize, context: usize) -> f64 {
        let seconds = |outputs| self.seconds(rows, rows, context.min(self.room(rows)), outputs);
        (seconds(rows) - seconds(0)).max(0.0)
    }

    fn seconds(&self, rows: usize, sequences: usize, context: usize, outputs: usize) -> f64 {
        let _turn = self.compute.turn();
        self.run(rows, sequences, context, outputs);
        let (begun, mut rounds) = (Instant::now(), Vec::new());
        loop {
            let started = Instant::now();
            self.run(rows, sequences, context, outputs);
            rounds.push(started.elapsed().as_secs_f64());
            let is_enough = rounds.len() >= ROUNDS && begun.elapsed().as_secs_f64() >= SECONDS;
            if is_enough || self.cancel.is_cancelled() {
                break;
            }
        }
        rounds.sort_by(f64::total_cmp);
        rounds[rounds.len() / 2]
    }

    /// The last `rows` over all `sequences` of `context` tokens each, and logits of the last of `outputs` sequences.
    fn run(&self, rows: usize, sequences: usize, context: usize, outputs: usize) {
        let (each, blocks) = (rows / sequences, self.blocks / sequences);
        let positions = context - each..context;
        let batch = Batch {
            rows: (0..sequences)
                .flat_map(|sequence| positions.clone().map(move |position| BatchRow { sequence, position }))
                .collect(),
            tables: (0..sequences)
                .map(|nth| (nth * blocks..(nth + 1) * blocks).map(|at| at as u32).collect())
                .collect(),
        };
        let outputs = (0..outputs).map(|nth| (nth + 1) * each - 1).collect();
        let vocabulary = self.lm.config().vocabulary;
        let tokens: Vec<u32> = (0..rows).map(|row| (row * 61 % vocabulary) as u32).collect();
        let cancel = self.cancel.clone();
        let wanted = Wanted::new(move || !cancel.is_cancelled());
        let step = Step::new(batch, outputs, self.lm.ropes(), &self.workspace).as_long_as(wanted);
        black_box(self.lm.forward(&tokens, &step));
    }
}
