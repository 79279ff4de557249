//! Speed: what this machine was measured to do, and what that makes of a model.

use std::{hint::black_box, time::Instant};

use synod_kernels::{
    Activations, BLOCK_TOKENS, Format, KvCache, PackedMatrix, Team,
    attention::{Batch, BatchRow, Heads, attend},
    elementwise::quantize,
    linear::{Part, Write, linear},
};

use super::{Footprint, Matrix};
use crate::{engine::STEP_ROWS as CHUNK, nn::WeightError};

/// Bytes of the weights that a rate is measured on: more than caches hold, as a model is.
const MEASURED_BYTES: usize = 48 << 20;
/// Inputs of the measured matrices.
const COLUMNS: usize = 2048;
/// Times that something is measured; the best counts.
const ROUNDS: usize = 3;
/// Phases of a layer that threads meet in: norm, qkv, rope, attention, output, norm, gated, down.
const PHASES: usize = 8;

/// What a machine was measured to do, for one model.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Threads that compute.
    pub threads: usize,
    /// Bytes of weights that are read a second, by one row.
    pub bytes_per_s: f64,
    /// Multiply-adds a second in a prompt.
    pub multiply_adds_per_s: f64,
    rates: Vec<Rate>,
    /// Seconds of a layer's attention: one row, all sequences, a chunk.
    attention: [f64; 3],
    /// Seconds that a phase takes with nothing to do.
    phase: f64,
}

/// Seconds for each multiply-add with the weights of a format, for one row, a row of each sequence, and a chunk.
#[derive(Debug, Clone, Copy)]
struct Rate {
    format: Format,
    seconds: [f64; 3],
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
    /// Measures, for a second or two, what `team` does with weights of the model's formats, and with its attention at
    /// `context` tokens.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn measure(team: &Team, model: &Footprint, context: usize, sequences: usize) -> Result<Self, WeightError> {
        let mut rates: Vec<Rate> = Vec::new();
        for matrix in &model.matrices {
            if !matrix.is_table && rates.iter().all(|rate| rate.format != matrix.format) {
                rates.push(rate(team, matrix.format, sequences)?);
            }
        }
        let main = model.main_format().unwrap_or(Format::Q8_0);
        let main_rate = rates.iter().find(|rate| rate.format == main).map_or([1.0; 3], |rate| rate.seconds);
        let bytes = main.packed_bytes(16, COLUMNS) as f64 / (16 * COLUMNS) as f64;
        let attention = |rows: usize, sequences| attention(team, model, context.clamp(rows, 1 << 14), rows, sequences);
        Ok(Self {
            threads: team.threads(),
            bytes_per_s: bytes / main_rate[0],
            multiply_adds_per_s: 1.0 / main_rate[2],
            attention: [attention(1, 1)?, attention(sequences, sequences)?, attention(CHUNK, 1)?],
            phase: best(|| (0..100).for_each(|_| team.run(team.threads(), &|_| {}))) / 100.0,
            rates,
        })
    }

    /// What a model's speed should be.
    pub fn forecast(&self, model: &Footprint, sequences: usize) -> Forecast {
        let step = |kind: usize, rows: usize, outputs: usize| {
            let linear: f64 = model.matrices.iter().map(|matrix| self.linear(matrix, kind, rows, outputs)).sum();
            linear + model.config.layers as f64 * (self.attention[kind] + PHASES as f64 * self.phase)
        };
        Forecast {
            prefill: CHUNK as f64 / step(2, CHUNK, 1),
            decode: 1.0 / step(0, 1, 1),
            batched_decode: sequences as f64 / step(1, sequences, sequences),
        }
    }

    fn linear(&self, matrix: &Matrix, kind: usize, rows: usize, outputs: usize) -> f64 {
        if matrix.is_table {
            return 0.0;
        }
        // A single output of a chunk is as slow as a single row.
        let (kind, rows) = if matrix.is_head && outputs < rows { (0, outputs) } else { (kind, rows) };
        let rate = self.rates.iter().find(|rate| rate.format == matrix.format).map_or(0.0, |rate| rate.seconds[kind]);
        (matrix.rows * matrix.columns * rows) as f64 * rate
    }
}

fn rate(team: &Team, format: Format, sequences: usize) -> Result<Rate, WeightError> {
    let rows = MEASURED_BYTES / format.file_row_bytes(COLUMNS);
    let whole = matrix(format, rows)?;
    let part = matrix(format, 1536)?;
    let seconds = |weights: &PackedMatrix, inputs: usize| {
        let mut x = Activations::default();
        quantize(team, &vec![0.5; inputs * COLUMNS], COLUMNS, &mut x);
        let mut out = vec![0.0; inputs * weights.rows()];
        let parts = [Part { weights, bias: None }];
        let seconds = best(|| linear(team, black_box(&parts), &x, Write::Replace, &mut out));
        seconds / (weights.rows() * COLUMNS * inputs) as f64
    };
    Ok(Rate { format, seconds: [seconds(&whole, 1), seconds(&whole, sequences.max(1)), seconds(&part, CHUNK)] })
}

/// Weights of any value: they take as long as a model's.
fn matrix(format: Format, rows: usize) -> Result<PackedMatrix, WeightError> {
    let bytes: Vec<u8> = (0..rows * format.file_row_bytes(COLUMNS)).map(|at| (at * 31 % 59) as u8).collect();
    PackedMatrix::pack(format, rows, COLUMNS, &bytes)
        .map_err(|source| WeightError::Pack { name: format!("measured {format:?}"), source })
}

/// Seconds of one layer's attention: the last of `context` tokens, `rows` of them over all sequences.
fn attention(
    team: &Team,
    model: &Footprint,
    context: usize,
    rows: usize,
    sequences: usize,
) -> Result<f64, WeightError> {
    let config = &model.config;
    let heads = Heads {
        heads: config.heads,
        kv_heads: config.kv_heads,
        head_dim: config.head_dim,
        query_scale: (config.head_dim as f32).sqrt().recip(),
    };
    let shape = synod_kernels::KvShape { layers: 1, ..model.kv_shape() };
    let blocks = context.div_ceil(BLOCK_TOKENS);
    let cache = KvCache::new(shape, blocks * sequences)
        .map_err(|source| WeightError::Hyperparameter(format!("no memory to measure attention: {source}")))?;
    let table = |sequence: usize| (0..blocks).map(|block| (sequence * blocks + block) as u32).collect();
    let each = rows / sequences;
    let batch = Batch {
        rows: (0..sequences)
            .flat_map(|sequence| (context - each..context).map(move |position| BatchRow { sequence, position }))
            .collect(),
        tables: (0..sequences).map(table).collect(),
    };
    let qkv = vec![0.1; rows * heads.width()];
    let mut out = vec![0.0; rows * heads.heads * heads.head_dim];
    Ok(best(|| attend(team, &qkv, heads, None, &batch, &cache, 0, &mut out)))
}

/// Seconds that `run` takes at its best.
fn best(mut run: impl FnMut()) -> f64 {
    run();
    let rounds = (0..ROUNDS).map(|_| {
        let started = Instant::now();
        run();
        started.elapsed().as_secs_f64()
    });
    rounds.fold(f64::INFINITY, f64::min)
}
