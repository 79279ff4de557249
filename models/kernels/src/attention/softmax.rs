//! The running softmax of some query vectors over blocks of keys and values (FlashAttention, arXiv 2205.14135).

use std::ops::Range;

use half::f16;

#[cfg(target_arch = "x86_64")]
use super::avx512;
use super::{Seen, TILE, plain};
use crate::{Isa, elementwise::by_tier, kv::BLOCK_TOKENS};

/// Query vectors, and what they have gathered so far.
#[derive(Default)]
pub(super) struct Softmax {
    head_dim: usize,
    /// `[queries, head_dim]`.
    queries: Vec<f32>,
    /// Positions that each query sees.
    spans: Vec<Range<usize>>,
    /// Largest score so far.
    largest: Vec<f32>,
    /// Σ e^(score − largest), in 16 lanes.
    sums: Vec<[f32; 16]>,
    /// `[queries, head_dim]`: Σ e^(score − largest) · value.
    outputs: Vec<f32>,
}

impl Softmax {
    /// Begins with no queries.
    pub(super) fn clear(&mut self, head_dim: usize) {
        self.head_dim = head_dim;
        self.queries.clear();
        self.spans.clear();
        self.largest.clear();
        self.sums.clear();
        self.outputs.clear();
    }

    /// Adds query vectors (`[n, head_dim]`) that see the positions `span`.
    pub(super) fn push(&mut self, queries: &[f32], span: &Range<usize>) {
        self.queries.extend_from_slice(queries);
        let count = self.queries.len() / self.head_dim;
        self.spans.resize(count, span.clone());
        self.largest.resize(count, f32::NEG_INFINITY);
        self.sums.resize(count, [0.0; 16]);
        self.outputs.resize(self.queries.len(), 0.0);
    }

    /// How many queries there are.
    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    /// Lets `queries` see the block of positions from `start`.
    pub(super) fn see(&mut self, isa: Isa, queries: Range<usize>, start: usize, keys: &[f16], values: &[f16]) {
        let tiles = queries.len().div_ceil(TILE);
        let size = queries.len().div_ceil(tiles.max(1)).max(1);
        for first in queries.clone().step_by(size) {
            self.tile(isa, first..(first + size).min(queries.end), start, keys, values);
        }
    }

    fn tile(&mut self, isa: Isa, queries: Range<usize>, start: usize, keys: &[f16], values: &[f16]) {
        let count = queries.len();
        let seen: [Seen; TILE] = std::array::from_fn(|q| {
            let span = self.spans.get(queries.start + q).filter(|_| q < count).cloned().unwrap_or(0..0);
            let clip = |position: usize| position.saturating_sub(start).min(BLOCK_TOKENS);
            Seen { from: clip(span.start), to: clip(span.end) }
        });
        let seen = &seen[..count];
        if seen.iter().all(Seen::is_empty) {
            return;
        }
        let vectors = queries.start * self.head_dim..queries.end * self.head_dim;
        let mut scores = [[0.0; BLOCK_TOKENS]; TILE];
        let scores = &mut scores[..count];
        score(isa, &self.queries[vectors.clone()], keys, scores);
        let mut shrink = [1.0; TILE];
        for (q, seen) in seen.iter().enumerate().filter(|(_, seen)| !seen.is_empty()) {
            let at = queries.start + q;
            shrink[q] = soften(isa, &mut scores[q], *seen, &mut self.largest[at], &mut self.sums[at]);
        }
        for (scores, _) in scores.iter_mut().zip(seen).filter(|(_, seen)| seen.is_empty()) {
            scores.fill(0.0);
        }
        let tokens = seen.iter().map(|s| s.from).min().unwrap_or(0)..seen.iter().map(|s| s.to).max().unwrap_or(0);
        weigh(isa, scores, &shrink, values, tokens, &mut self.outputs[vectors]);
    }

    /// Writes the outputs of the queries from `first` on.
    pub(super) fn write(&self, first: usize, target: &mut [f32]) {
        for (q, target) in target.chunks_exact_mut(self.head_dim).enumerate() {
            let inverse = 1.0 / self.sums[first + q].iter().sum::<f32>();
            let output = &self.outputs[(first + q) * self.head_dim..][..self.head_dim];
            target.iter_mut().zip(output).for_each(|(target, output)| *target = output * inverse);
        }
    }
}

/// `scores[q][token] = queries[q] · keys[token]`.
fn score(isa: Isa, queries: &[f32], keys: &[f16], scores: &mut [[f32; BLOCK_TOKENS]]) {
    use plain::score as plain_score;
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the tier is only chosen where the machine has it; `keys` is a whole block's.
        Isa::Avx512Vnni => unsafe { avx512::score(queries, keys, scores) },
        _ => by_tier!(isa, plain_score(queries: &[f32], keys: &[f16], scores: &mut [[f32; BLOCK_TOKENS]])),
    }
}

/// Turns scores into weights e^(score − largest), 0 where nothing is seen; updates the query's state and returns what its
/// earlier sums shrink by.
fn soften(isa: Isa, scores: &mut [f32; BLOCK_TOKENS], seen: Seen, largest: &mut f32, sums: &mut [f32; 16]) -> f32 {
    use plain::soften as plain_soften;
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx512Vnni => unsafe { avx512::soften(scores, seen, largest, sums) },
        _ => by_tier!(
            isa,
            plain_soften(scores: &mut [f32; BLOCK_TOKENS], seen: Seen, largest: &mut f32, sums: &mut [f32; 16]) -> f32
        ),
    }
}

/// `outputs[q] = outputs[q] · shrink[q] + Σ_token weights[q][token] · values[token]` over `tokens`.
fn weigh(
    isa: Isa,
    weights: &[[f32; BLOCK_TOKENS]],
    shrink: &[f32; TILE],
    values: &[f16],
    tokens: Range<usize>,
    outputs: &mut [f32],
) {
    use plain::weigh as plain_weigh;
    type Tokens = Range<usize>;
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx512Vnni => unsafe { avx512::weigh(weights, shrink, values, tokens, outputs) },
        _ => by_tier!(
            isa,
            plain_weigh(weights: &[[f32; BLOCK_TOKENS]], shrink: &[f32; TILE], values: &[f16], tokens: Tokens, outputs: &mut [f32])
        ),
    }
}
