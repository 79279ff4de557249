//! 128-bit tier: the tile of the 512-bit one, six queries by four registers, over a quarter as many columns. Bound by the
//! multiply-adds.

use std::{arch::aarch64::*, ops::Range};

use super::kernels::{Paired, QueryTile, Weights, by_queries};
use crate::kv::{BLOCK_TOKENS, HeadBlock};

/// Columns of a pass.
const COLUMNS: usize = 16;

/// Columns `column..column + 16` of the product of `Q` rows of integers, `stride` from one to the next, and `lines` of a
/// matrix.
///
/// # Safety
/// The rows have two integers for each line.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn product<const Q: usize>(
    left: *const i16,
    stride: usize,
    right: Paired<'_>,
    lines: Range<usize>,
    column: usize,
) -> [[int32x4_t; 4]; Q] {
    let mut sums = [[vdupq_n_s32(0); 4]; Q];
    for line in lines {
        let row = &right.integers[(line * right.width + column) * 2..][..2 * COLUMNS];
        // SAFETY: two times 8 pairs; two integers of each row by contract.
        unsafe {
            let right = [vld2q_s16(row.as_ptr()), vld2q_s16(row.as_ptr().add(COLUMNS))];
            for (q, sums) in sums.iter_mut().enumerate() {
                let pair = left.add(q * stride + 2 * line);
                let (a, b) = (*pair, *pair.add(1));
                for (i, int16x8x2_t(of_a, of_b)) in right.into_iter().enumerate() {
                    let low = vmlal_n_s16(sums[2 * i], vget_low_s16(of_a), a);
                    sums[2 * i] = vmlal_n_s16(low, vget_low_s16(of_b), b);
                    let high = vmlal_high_n_s16(sums[2 * i + 1], of_a, a);
                    sums[2 * i + 1] = vmlal_high_n_s16(high, of_b, b);
                }
            }
        }
    }
    sums
}

/// # Safety
/// There are from 1 to 6 queries; lengths as `kernels::score` asserts.
#[target_feature(enable = "neon")]
pub(super) unsafe fn score(queries: QueryTile<'_>, block: &HeadBlock<'_>, scores: &mut [[f32; BLOCK_TOKENS]]) {
    for column in (0..BLOCK_TOKENS).step_by(COLUMNS) {
        // SAFETY: handed down.
        unsafe { by_queries!(scores.len(), score_tile[](queries, block, column, scores)) }
    }
}

/// # Safety
/// As [`score`]; `scores.len() == Q`.
#[target_feature(enable = "neon")]
unsafe fn score_tile<const Q: usize>(
    queries: QueryTile<'_>,
    block: &HeadBlock<'_>,
    column: usize,
    scores: &mut [[f32; BLOCK_TOKENS]],
) {
    let (head_dim, keys) = (queries.head_dim(), Paired::keys(block));
    // SAFETY: each query has `head_dim` integers, two for each line.
    let sums = unsafe { product::<Q>(queries.integers.as_ptr(), head_dim, keys, 0..head_dim / 2, column) };
    for ((sums, scale), scores) in sums.into_iter().zip(queries.scales).zip(scores) {
        let (key_scales, scores) = (&block.key_scales[column..][..COLUMNS], &mut scores[column..][..COLUMNS]);
        for (i, sum) in sums.into_iter().enumerate() {
            // SAFETY: four times four scores and scales.
            unsafe {
                let scale = vmulq_n_f32(vld1q_f32(key_scales.as_ptr().add(i * 4)), *scale);
                vst1q_f32(scores.as_mut_ptr().add(i * 4), vmulq_f32(vcvtq_f32_s32(sum), scale));
            }
        }
    }
}

/// # Safety
/// There are from 1 to 6 queries; lengths as `kernels::weigh` asserts.
#[target_feature(enable = "neon")]
pub(super) unsafe fn weigh(weights: &[Weights], block: &HeadBlock<'_>, pairs: Range<usize>, outputs: &mut [f32]) {
    for column in (0..Paired::values(block).width).step_by(COLUMNS) {
        let pairs = pairs.clone();
        // SAFETY: handed down.
        unsafe { by_queries!(weights.len(), weigh_tile[](weights, block, pairs, column, outputs)) }
    }
}

/// # Safety
/// As [`weigh`]; `weights.len() == Q`.
#[target_feature(enable = "neon")]
unsafe fn weigh_tile<const Q: usize>(
    weights: &[Weights],
    block: &HeadBlock<'_>,
    pairs: Range<usize>,
    column: usize,
    outputs: &mut [f32],
) {
    const STRIDE: usize = size_of::<Weights>() / size_of::<i16>();
    let values = Paired::values(block);
    // SAFETY: `Weights` begins with 64 integers, two for each of up to 32 lines.
    let sums = unsafe { product::<Q>(weights.as_ptr().cast(), STRIDE, values, pairs, column) };
    for (q, (sums, weights)) in sums.into_iter().zip(weights).enumerate() {
        let output = &mut outputs[q * values.width + column..][..COLUMNS];
        for (i, sum) in sums.into_iter().enumerate() {
            // SAFETY: four times four outputs.
            unsafe {
                let output = output.as_mut_ptr().add(i * 4);
                let before = vmulq_n_f32(vld1q_f32(output), weights.shrink);
                vst1q_f32(output, vfmaq_n_f32(before, vcvtq_f32_s32(sum), weights.scale));
            }
        }
    }
}
