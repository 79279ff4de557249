//! 128-bit tier: the tile of the 512-bit one, six queries by four registers, over a quarter as many tokens or dimensions.
//! Bound by the fused multiply-adds.

use std::{arch::aarch64::*, ops::Range};

use super::kernels::{Source, Stage, by_queries};
use crate::kv::BLOCK_TOKENS;

/// Tokens or dimensions of a tile.
const WIDTH: usize = 16;

#[target_feature(enable = "neon")]
pub(super) fn widen(from: Source<'_>, lines: Range<usize>, width: usize, to: &mut Stage) {
    for line in lines {
        let halves = &from.halves[line * from.stride..][..width];
        for (halves, to) in halves.as_chunks::<4>().0.iter().zip(to.lines[line].as_chunks_mut::<4>().0) {
            // SAFETY: four halves and as many floats.
            unsafe {
                let halves = vreinterpret_f16_u16(vld1_u16(halves.as_ptr().cast()));
                vst1q_f32(to.as_mut_ptr(), vcvt_f32_f16(halves));
            }
        }
    }
}

#[target_feature(enable = "neon")]
pub(super) fn score(queries: &[f32], head_dim: usize, keys: &Stage, depth: usize, scores: &mut [[f32; BLOCK_TOKENS]]) {
    for column in (0..BLOCK_TOKENS).step_by(WIDTH) {
        by_queries!(scores.len(), score_tile[](queries, head_dim, keys, depth, scores, column));
    }
}

/// Tokens `column..column + 16`.
#[target_feature(enable = "neon")]
fn score_tile<const Q: usize>(
    queries: &[f32],
    head_dim: usize,
    keys: &Stage,
    depth: usize,
    scores: &mut [[f32; BLOCK_TOKENS]],
    column: usize,
) {
    let queries: [&[f32]; Q] = std::array::from_fn(|q| &queries[q * head_dim..][..depth]);
    let mut sums: [_; Q] = std::array::from_fn(|q| load(&scores[q], column));
    for (d, line) in keys.lines[..depth].iter().enumerate() {
        let keys = load(line, column);
        for (sums, query) in sums.iter_mut().zip(queries) {
            for (sum, keys) in sums.iter_mut().zip(keys) {
                *sum = vfmaq_n_f32(*sum, keys, query[d]);
            }
        }
    }
    for (sums, scores) in sums.into_iter().zip(scores) {
        store(sums, scores, column);
    }
}

#[target_feature(enable = "neon")]
pub(super) fn weigh(
    weights: &[[f32; BLOCK_TOKENS]],
    shrink: &[f32],
    values: &Stage,
    tokens: Range<usize>,
    outputs: &mut [f32],
    head_dim: usize,
    width: usize,
) {
    for column in (0..width).step_by(WIDTH) {
        let tokens = tokens.clone();
        by_queries!(weights.len(), weigh_tile[](weights, shrink, values, tokens, outputs, head_dim, column));
    }
}

/// Dimensions `column..column + 16`.
#[target_feature(enable = "neon")]
fn weigh_tile<const Q: usize>(
    weights: &[[f32; BLOCK_TOKENS]],
    shrink: &[f32],
    values: &Stage,
    tokens: Range<usize>,
    outputs: &mut [f32],
    head_dim: usize,
    column: usize,
) {
    let weights: [_; Q] = std::array::from_fn(|q| &weights[q]);
    let mut sums: [_; Q] =
        std::array::from_fn(|q| load(&outputs[q * head_dim..], column).map(|before| vmulq_n_f32(before, shrink[q])));
    for token in tokens {
        let values = load(&values.lines[token], column);
        for (sums, weights) in sums.iter_mut().zip(weights) {
            for (sum, values) in sums.iter_mut().zip(values) {
                *sum = vfmaq_n_f32(*sum, values, weights[token]);
            }
        }
    }
    for (q, sums) in sums.into_iter().enumerate() {
        store(sums, &mut outputs[q * head_dim..], column);
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn load(from: &[f32], at: usize) -> [float32x4_t; 4] {
    let from = &from[at..][..WIDTH];
    // SAFETY: four times four floats.
    std::array::from_fn(|i| unsafe { vld1q_f32(from.as_ptr().add(i * 4)) })
}

#[inline]
#[target_feature(enable = "neon")]
fn store(values: [float32x4_t; 4], to: &mut [f32], at: usize) {
    let to = &mut to[at..][..WIDTH];
    for (i, values) in values.into_iter().enumerate() {
        // SAFETY: four times four floats.
        unsafe { vst1q_f32(to.as_mut_ptr().add(i * 4), values) };
    }
}
