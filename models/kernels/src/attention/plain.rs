//! The plain twin that the tiers are held against; those without a loop of their own compile it to their registers.

use std::ops::Range;

use super::{
    Seen,
    kernels::{Paired, QueryTile, Weights},
};
use crate::{
    elementwise::exp2,
    fixed::Scale,
    kv::{BLOCK_TOKENS, HeadBlock},
};

/// Columns of a pass.
const COLUMNS: usize = 16;

/// Σ over `lines` of both rows of a line times both integers of `left`, in columns `column..column + 16`.
#[inline(always)]
fn product(left: &[i16], right: Paired<'_>, lines: Range<usize>, column: usize) -> [i32; COLUMNS] {
    let mut sums = [0i32; COLUMNS];
    for line in lines {
        let [a, b] = [left[2 * line], left[2 * line + 1]].map(i32::from);
        let right = &right.integers[(line * right.width + column) * 2..][..2 * COLUMNS];
        for (sum, pair) in sums.iter_mut().zip(right.as_chunks::<2>().0) {
            // Wrapping where a vector was so long that its integers were cut off.
            *sum = sum.wrapping_add(a * i32::from(pair[0])).wrapping_add(b * i32::from(pair[1]));
        }
    }
    sums
}

#[inline(always)]
pub(super) fn score(queries: QueryTile<'_>, block: &HeadBlock<'_>, scores: &mut [[f32; BLOCK_TOKENS]]) {
    let head_dim = queries.head_dim();
    let queries = queries.integers.chunks_exact(head_dim).zip(queries.scales);
    for ((query, scale), scores) in queries.zip(scores) {
        for column in (0..BLOCK_TOKENS).step_by(COLUMNS) {
            let sums = product(query, Paired::keys(block), 0..head_dim / 2, column);
            for (i, sum) in sums.into_iter().enumerate() {
                scores[column + i] = sum as f32 * (block.key_scales[column + i] * scale);
            }
        }
    }
}

#[inline(always)]
pub(super) fn soften(
    scores: &mut [[f32; BLOCK_TOKENS]],
    seen: &[Seen],
    value_scales: &[f32; BLOCK_TOKENS],
    largest: &mut [f32],
    sums: &mut [[f32; 16]],
    weights: &mut [Weights],
) {
    for (q, scores) in scores.iter_mut().enumerate() {
        weights[q] = if seen[q].is_empty() {
            Weights::NONE
        } else {
            weights_of(scores, seen[q], value_scales, &mut largest[q], &mut sums[q])
        };
    }
}

#[inline(always)]
fn weights_of(
    scores: &mut [f32; BLOCK_TOKENS],
    seen: Seen,
    value_scales: &[f32; BLOCK_TOKENS],
    largest: &mut f32,
    sums: &mut [f32; 16],
) -> Weights {
    scores[..seen.from].fill(f32::NEG_INFINITY);
    scores[seen.to..].fill(f32::NEG_INFINITY);
    let mut lanes = [f32::NEG_INFINITY; 16];
    for chunk in scores.as_chunks::<16>().0 {
        for lane in 0..16 {
            lanes[lane] = if chunk[lane] > lanes[lane] { chunk[lane] } else { lanes[lane] };
        }
    }
    let before = *largest;
    let top = lanes.iter().fold(before, |a, &b| a.max(b));
    *largest = top;
    // The first block has nothing to shrink: −∞ before.
    let shrink = if before == f32::NEG_INFINITY { 0.0 } else { exp2(before - top) };
    for chunk in scores.as_chunks_mut::<16>().0 {
        for lane in 0..16 {
            chunk[lane] = exp2(chunk[lane] - top);
        }
    }
    scores[..seen.from].fill(0.0);
    scores[seen.to..].fill(0.0);
    sums.iter_mut().for_each(|sum| *sum *= shrink);
    let (mut weighted, mut highest) = ([0f32; 16], [0f32; 16]);
    for (chunk, scales) in scores.as_chunks_mut::<16>().0.iter_mut().zip(value_scales.as_chunks::<16>().0) {
        for lane in 0..16 {
            sums[lane] += chunk[lane];
            chunk[lane] *= scales[lane];
            weighted[lane] += chunk[lane];
            highest[lane] = highest[lane].max(chunk[lane]);
        }
    }
    let scale = Scale::of_weights(weighted.iter().sum(), highest.iter().fold(0.0, |a, &b| a.max(b)));
    let mut weights = Weights { scale: scale.value, shrink, ..Weights::NONE };
    for (chunk, integers) in scores.as_chunks::<16>().0.iter().zip(weights.integers.as_chunks_mut::<16>().0) {
        *integers = scale.integers(chunk);
    }
    weights
}

#[inline(always)]
pub(super) fn weigh(weights: &[Weights], block: &HeadBlock<'_>, pairs: Range<usize>, outputs: &mut [f32]) {
    let values = Paired::values(block);
    for (weights, outputs) in weights.iter().zip(outputs.chunks_exact_mut(values.width)) {
        for (column, outputs) in outputs.as_chunks_mut::<COLUMNS>().0.iter_mut().enumerate() {
            let sums = product(&weights.integers, values, pairs.clone(), column * COLUMNS);
            for (output, sum) in outputs.iter_mut().zip(sums) {
                *output = *output * weights.shrink + sum as f32 * weights.scale;
            }
        }
    }
}
