//! Causal attention of a ragged batch over the paged cache, with an online softmax (FlashAttention, arXiv 2205.14135).
//!
//! Query heads that share a key-value head (grouped-query attention, arXiv 2305.13245) and neighbouring rows of one
//! sequence are taken together, so that a block's keys and values are read once for all of them.

#[cfg(target_arch = "x86_64")]
mod avx512;
mod plain;

use std::cell::RefCell;

use half::f16;

use crate::{Isa, KvCache, Team, elementwise::by_tier, elementwise::exp, kv::BLOCK_TOKENS, linear::Out};

/// How a layer's attention is divided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Heads {
    /// Query heads.
    pub heads: usize,
    /// Key-value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// What queries are multiplied by, usually 1/√head_dim.
    pub query_scale: f32,
}

impl Heads {
    /// Width of queries, keys and values side by side.
    pub const fn width(self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.head_dim
    }
}

/// One token of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchRow {
    /// Index into [`Batch::tables`].
    pub sequence: usize,
    /// The token's place in its sequence, from 0.
    pub position: usize,
}

/// The tokens of a step: any number of sequences, each with any number of consecutive new tokens (a ragged batch). A
/// sequence's rows lie together, in order of position.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// The tokens.
    pub rows: Vec<BatchRow>,
    /// For each sequence the cache blocks that hold its positions, 64 a block.
    pub tables: Vec<Vec<u32>>,
}

impl Batch {
    /// Asserts what the unsafe code relies on: rows are distinct places that exist.
    pub(crate) fn check(&self, cache: &KvCache) {
        for pair in self.rows.windows(2) {
            let (a, b) = (pair[0], pair[1]);
            assert!(a.sequence < b.sequence || (a.sequence == b.sequence && a.position + 1 == b.position));
        }
        for row in &self.rows {
            let block = self.tables[row.sequence][row.position / BLOCK_TOKENS];
            assert!((block as usize) < cache.blocks());
        }
    }

    /// Runs of at most `most` rows of one sequence, as ranges of row indices.
    fn runs(&self, most: usize) -> Vec<std::ops::Range<usize>> {
        let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
        for (index, row) in self.rows.iter().enumerate() {
            match runs.last_mut() {
                Some(run) if run.len() < most && self.rows[run.start].sequence == row.sequence => run.end = index + 1,
                _ => runs.push(index..index + 1),
            }
        }
        runs
    }
}

/// The most queries of a tile: 6 × 4 accumulators of 16 floats.
const TILE: usize = 6;
/// The most query vectors of an item.
const ITEM: usize = 48;

/// Attends `qkv`'s queries (norm'd, rotated and scaled) to all cached tokens up to and including their own, or to the
/// last `window` of them; `out` is `[rows, heads·head_dim]`.
pub fn attend(
    team: &Team,
    qkv: &[f32],
    heads: Heads,
    window: Option<usize>,
    batch: &Batch,
    cache: &KvCache,
    layer: usize,
    out: &mut [f32],
) {
    let Heads { heads: query_heads, kv_heads, head_dim, .. } = heads;
    assert_eq!(qkv.len(), batch.rows.len() * heads.width());
    assert_eq!(out.len(), batch.rows.len() * query_heads * head_dim);
    batch.check(cache);
    let group = query_heads / kv_heads;
    let runs = batch.runs((ITEM / group).max(1));
    let out = Out { start: out.as_mut_ptr(), width: query_heads * head_dim };
    team.run(runs.len() * kv_heads, &|item| {
        let (run, kv_head) = (runs[item / kv_heads].clone(), item % kv_heads);
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.start(run.len() * group, head_dim);
            for (i, index) in run.clone().enumerate() {
                let queries = &qkv[index * heads.width() + kv_head * group * head_dim..][..group * head_dim];
                scratch.queries[i * group * head_dim..][..group * head_dim].copy_from_slice(queries);
                let position = batch.rows[index].position;
                let first = window.map_or(0, |window| (position + 1).saturating_sub(window));
                scratch.spans[i * group..][..group].fill((first, position + 1));
            }
            let table = &batch.tables[batch.rows[run.start].sequence];
            let first = scratch.spans[0].0 / BLOCK_TOKENS;
            let end = scratch.spans[scratch.spans.len() - 1].1.div_ceil(BLOCK_TOKENS);
            for (index, &block) in table[..end].iter().enumerate().skip(first) {
                let (keys, values) = cache.head(layer, block as usize, kv_head);
                scratch.block(team.isa(), index * BLOCK_TOKENS, keys, values, head_dim);
            }
            for (i, index) in run.enumerate() {
                // SAFETY: this head group of this row is written by this item alone.
                let target = unsafe { out.slice(index, kv_head * group * head_dim, group * head_dim) };
                scratch.write(i * group, target, head_dim);
            }
        });
    });
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// The running softmax of an item's query vectors.
#[derive(Default)]
struct Scratch {
    /// `[queries, head_dim]`.
    queries: Vec<f32>,
    /// Positions `first..end` that a query sees.
    spans: Vec<(usize, usize)>,
    /// Largest score so far.
    largest: Vec<f32>,
    /// Σ e^(score − largest).
    sums: Vec<f32>,
    /// `[queries, head_dim]`: Σ e^(score − largest) · value.
    outputs: Vec<f32>,
}

impl Scratch {
    fn start(&mut self, queries: usize, head_dim: usize) {
        self.queries.resize(queries * head_dim, 0.0);
        self.spans.clear();
        self.spans.resize(queries, (0, 0));
        self.largest.clear();
        self.largest.resize(queries, f32::NEG_INFINITY);
        self.sums.clear();
        self.sums.resize(queries, 0.0);
        self.outputs.clear();
        self.outputs.resize(queries * head_dim, 0.0);
    }

    /// Takes in the block of positions from `start`.
    fn block(&mut self, isa: Isa, start: usize, keys: &[f16], values: &[f16], head_dim: usize) {
        for first in (0..self.spans.len()).step_by(TILE) {
            let count = TILE.min(self.spans.len() - first);
            let spans: [(usize, usize); TILE] = std::array::from_fn(|q| {
                let (from, to) = if q < count { self.spans[first + q] } else { (0, 0) };
                (from.saturating_sub(start).min(BLOCK_TOKENS), to.saturating_sub(start).min(BLOCK_TOKENS))
            });
            if spans[..count].iter().all(|(from, to)| from >= to) {
                continue;
            }
            let mut scores = [[0.0; BLOCK_TOKENS]; TILE];
            score(isa, &self.queries[first * head_dim..][..count * head_dim], keys, &mut scores[..count]);
            let mut shrink = [1.0; TILE];
            for q in 0..count {
                let state = (&mut self.largest[first + q], &mut self.sums[first + q]);
                shrink[q] = soften(isa, &mut scores[q], spans[q], state);
            }
            let seen = spans[..count].iter().map(|s| s.0).min().unwrap_or(0)
                ..spans[..count].iter().map(|s| s.1).max().unwrap_or(0);
            let outputs = &mut self.outputs[first * head_dim..][..count * head_dim];
            weigh(isa, &scores[..count], &shrink, values, seen, outputs);
        }
    }

    fn write(&self, first: usize, target: &mut [f32], head_dim: usize) {
        for (q, target) in target.chunks_exact_mut(head_dim).enumerate() {
            let inverse = 1.0 / self.sums[first + q];
            let output = &self.outputs[(first + q) * head_dim..][..head_dim];
            target.iter_mut().zip(output).for_each(|(target, output)| *target = output * inverse);
        }
    }
}

/// `scores[q][token] = queries[q] · keys[token]`.
fn score(isa: Isa, queries: &[f32], keys: &[f16], scores: &mut [[f32; BLOCK_TOKENS]]) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the tier is only chosen where the machine has it; `keys` is a whole block's.
        Isa::Avx512Vnni => unsafe { avx512::score(queries, keys, scores) },
        _ => by_tier!(isa, plain_score(queries: &[f32], keys: &[f16], scores: &mut [[f32; BLOCK_TOKENS]])),
    }
}

use plain::{score as plain_score, weigh as plain_weigh};

/// `outputs[q] = outputs[q] · shrink[q] + Σ_token weights[q][token] · values[token]` over the tokens `seen`.
fn weigh(
    isa: Isa,
    weights: &[[f32; BLOCK_TOKENS]],
    shrink: &[f32; TILE],
    values: &[f16],
    seen: std::ops::Range<usize>,
    outputs: &mut [f32],
) {
    type Seen = std::ops::Range<usize>;
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx512Vnni => unsafe { avx512::weigh(weights, shrink, values, seen, outputs) },
        _ => by_tier!(
            isa,
            plain_weigh(weights: &[[f32; BLOCK_TOKENS]], shrink: &[f32; TILE], values: &[f16], seen: Seen, outputs: &mut [f32])
        ),
    }
}

/// Turns scores into weights e^(score − largest), 0 outside `span`; updates the query's state and returns what its
/// earlier sums shrink by.
fn soften(isa: Isa, scores: &mut [f32; BLOCK_TOKENS], span: (usize, usize), state: (&mut f32, &mut f32)) -> f32 {
    let (largest, sum) = state;
    if span.0 >= span.1 {
        scores.fill(0.0);
        return 1.0;
    }
    scores[..span.0].fill(f32::NEG_INFINITY);
    scores[span.1..].fill(f32::NEG_INFINITY);
    let (before, mut added) = (*largest, 0.0);
    let state = (&mut *largest, &mut added);
    by_tier!(isa, soften_row(scores: &mut [f32; BLOCK_TOKENS], span: (usize, usize), state: (&mut f32, &mut f32)));
    // The first block has nothing to shrink: −∞ before.
    let shrink = if before == f32::NEG_INFINITY { 0.0 } else { exp(before - *largest) };
    *sum = *sum * shrink + added;
    shrink
}

#[inline(always)]
fn soften_row(scores: &mut [f32; BLOCK_TOKENS], span: (usize, usize), state: (&mut f32, &mut f32)) {
    let (largest, added) = state;
    let mut lanes = [f32::NEG_INFINITY; 16];
    for chunk in scores.as_chunks::<16>().0 {
        for lane in 0..16 {
            lanes[lane] = if chunk[lane] > lanes[lane] { chunk[lane] } else { lanes[lane] };
        }
    }
    let top = lanes.iter().fold(*largest, |a, &b| a.max(b));
    *largest = top;
    let mut sums = [0f32; 16];
    for chunk in scores.as_chunks_mut::<16>().0 {
        for lane in 0..16 {
            chunk[lane] = exp(chunk[lane] - top);
        }
    }
    scores[..span.0].fill(0.0);
    scores[span.1..].fill(0.0);
    for chunk in scores.as_chunks::<16>().0 {
        for lane in 0..16 {
            sums[lane] += chunk[lane];
        }
    }
    *added = sums.iter().sum();
}

#[cfg(test)]
mod tests;
