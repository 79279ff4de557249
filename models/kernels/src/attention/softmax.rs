//! The running softmax of some query vectors over blocks of keys and values (FlashAttention, arXiv 2205.14135).

use std::ops::Range;

use super::{
    Seen, TILE,
    kernels::{Ahead, QueryTile, Weights, score, soften, weigh},
    partial,
};
use crate::{
    Isa,
    elementwise::by_tier,
    kv::{BLOCK_TOKENS, HeadBlock},
};

/// Query vectors, and what they have gathered so far.
#[derive(Default)]
pub(super) struct Softmax {
    head_dim: usize,
    /// `[queries, head_dim]` (`vectors.rs`).
    queries: Vec<i16>,
    /// What each query's integers are multiplied by.
    scales: Vec<f32>,
    /// Positions that each query sees.
    spans: Vec<Range<usize>>,
    /// Largest score since the last fold.
    largest: Vec<f32>,
    /// Σ 2^(score − largest), in 16 lanes.
    sums: Vec<[f32; 16]>,
    /// `[queries, head_dim]`: Σ 2^(score − largest) · value.
    outputs: Vec<f32>,
    /// What was folded (`partial.rs`).
    folded: Vec<f32>,
    block: AtBlock,
}

/// What is known of the queries at the block at hand.
#[derive(Default)]
struct AtBlock {
    seen: Vec<Seen>,
    scores: Vec<[f32; BLOCK_TOKENS]>,
    weights: Vec<Weights>,
}

impl Softmax {
    /// Begins with no queries.
    pub(super) fn clear(&mut self, head_dim: usize) {
        self.head_dim = head_dim;
        self.queries.clear();
        self.scales.clear();
        self.spans.clear();
        self.largest.clear();
        self.sums.clear();
        self.outputs.clear();
        self.folded.clear();
    }

    /// Adds query vectors (`[n, head_dim]` and `[n]`) that see the positions `span`.
    pub(super) fn push(&mut self, (integers, scales): (&[i16], &[f32]), span: &Range<usize>) {
        self.queries.extend_from_slice(integers);
        self.scales.extend_from_slice(scales);
        let count = self.scales.len();
        self.spans.resize(count, span.clone());
        self.largest.resize(count, f32::NEG_INFINITY);
        self.sums.resize(count, [0.0; 16]);
        self.outputs.resize(self.queries.len(), 0.0);
        self.folded.resize(count * partial::len(self.head_dim), f32::NEG_INFINITY);
    }

    /// Lets `queries` see the block of positions from `start`; `next` is the block that comes after it.
    pub(super) fn see(
        &mut self,
        isa: Isa,
        queries: Range<usize>,
        start: usize,
        block: HeadBlock<'_>,
        next: Option<HeadBlock<'_>>,
    ) {
        let clip = |position: usize| position.saturating_sub(start).min(BLOCK_TOKENS);
        self.block.seen.clear();
        let spans = self.spans[queries.clone()].iter();
        self.block.seen.extend(spans.map(|span| Seen { from: clip(span.start), to: clip(span.end) }));
        if self.block.seen.iter().all(Seen::is_empty) {
            return;
        }
        self.score(isa, &queries, &block, Ahead::new(next.map(|next| next.keys)));
        self.soften(isa, &queries, &block);
        self.weigh(isa, &queries, &block, Ahead::new(next.map(|next| next.values)));
    }

    fn score(&mut self, isa: Isa, queries: &Range<usize>, block: &HeadBlock<'_>, ahead: Ahead) {
        let scores = &mut self.block.scores;
        scores.resize(queries.len(), [0.0; BLOCK_TOKENS]);
        for tile in tiles(queries.len()) {
            let of = queries.start + tile.start..queries.start + tile.end;
            let integers = &self.queries[of.start * self.head_dim..of.end * self.head_dim];
            let ahead = ahead.share(tile.clone(), queries.len());
            score(isa, QueryTile { integers, scales: &self.scales[of] }, block, ahead, &mut scores[tile]);
        }
    }

    fn soften(&mut self, isa: Isa, queries: &Range<usize>, block: &HeadBlock<'_>) {
        let AtBlock { seen, scores, weights } = &mut self.block;
        weights.resize(queries.len(), Weights::NONE);
        let (largest, sums) = (&mut self.largest[queries.clone()], &mut self.sums[queries.clone()]);
        soften(isa, scores, seen, block.value_scales, largest, sums, weights);
    }

    fn weigh(&mut self, isa: Isa, queries: &Range<usize>, block: &HeadBlock<'_>, ahead: Ahead) {
        let AtBlock { seen, weights, .. } = &self.block;
        for tile in tiles(queries.len()) {
            let of = queries.start + tile.start..queries.start + tile.end;
            let outputs = &mut self.outputs[of.start * self.head_dim..of.end * self.head_dim];
            let ahead = ahead.share(tile.clone(), queries.len());
            weigh(isa, &weights[tile.clone()], block, hull(&seen[tile]), ahead, outputs);
        }
    }

    /// Adds what was seen since the last fold to what was folded before.
    pub(super) fn fold(&mut self, isa: Isa) {
        let Self { folded, largest, sums, outputs, head_dim, .. } = self;
        let (largest, sums, outputs, head_dim) = (&mut **largest, &mut **sums, &mut **outputs, *head_dim);
        by_tier!(
            isa,
            fold_all(folded: &mut [f32], largest: &mut [f32], sums: &mut [[f32; 16]], outputs: &mut [f32], head_dim: usize)
        );
    }

    /// What was folded.
    pub(super) fn folded(&self) -> &[f32] {
        &self.folded
    }

    /// Forgets what was folded.
    pub(super) fn clear_folded(&mut self) {
        partial::clear(&mut self.folded, self.head_dim);
    }

    /// Adds what another has folded of the next span.
    pub(super) fn merge(&mut self, isa: Isa, part: &[f32]) {
        let (folded, head_dim) = (&mut self.folded, self.head_dim);
        use partial::merge;
        by_tier!(isa, merge(folded: &mut [f32], part: &[f32], head_dim: usize));
    }

    /// Writes the outputs of the queries from `first` on.
    pub(super) fn write(&self, first: usize, target: &mut [f32]) {
        let vectors = self.folded.chunks_exact(partial::len(self.head_dim)).skip(first);
        for (target, vector) in target.chunks_exact_mut(self.head_dim).zip(vectors) {
            let inverse = 1.0 / vector[1];
            target.iter_mut().zip(&vector[2..]).for_each(|(target, output)| *target = output * inverse);
        }
    }
}

#[inline(always)]
fn fold_all(folded: &mut [f32], largest: &mut [f32], sums: &mut [[f32; 16]], outputs: &mut [f32], head_dim: usize) {
    let vectors = folded.chunks_exact_mut(partial::len(head_dim)).zip(outputs.chunks_exact_mut(head_dim));
    for (at, (folded, output)) in vectors.enumerate() {
        partial::add(folded, largest[at], sums[at].iter().sum(), output);
        (largest[at], sums[at]) = (f32::NEG_INFINITY, [0.0; 16]);
        output.fill(0.0);
    }
}

/// Divides queries into tiles of nearly one size.
fn tiles(queries: usize) -> impl Iterator<Item = Range<usize>> {
    let size = queries.div_ceil(queries.div_ceil(TILE).max(1)).max(1);
    (0..queries).step_by(size).map(move |first| first..(first + size).min(queries))
}

/// The tokens that any of them sees.
fn hull(seen: &[Seen]) -> Range<usize> {
    seen.iter().map(|seen| seen.from).min().unwrap_or(0)..seen.iter().map(|seen| seen.to).max().unwrap_or(0)
}
