//! 256-bit tiers: up to six queries pass over 16 columns of a block at a time, their 12 accumulators in registers. Bound by
//! multiplying pairs and adding them, an instruction each.

use std::{arch::x86_64::*, ops::Range};

use super::kernels::{Ahead, Paired, QueryTile, Weights, by_queries};
use crate::kv::{BLOCK_TOKENS, HeadBlock};

/// Columns of a pass.
const COLUMNS: usize = 16;

/// Columns `column..column + 16` of the product of `Q` rows of integers, `stride` from one to the next, and `lines` of a
/// matrix.
///
/// # Safety
/// The machine has AVX2; the rows have two integers for each line; lines and columns exist.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn product<const Q: usize>(
    left: *const i16,
    stride: usize,
    right: Paired<'_>,
    lines: Range<usize>,
    column: usize,
    ahead: Ahead,
) -> [[__m256i; 2]; Q] {
    let mut sums = [[_mm256_setzero_si256(); 2]; Q];
    let (first, turns) = (lines.start, lines.len());
    for line in lines {
        // SAFETY: by contract; a prefetch may point anywhere.
        unsafe {
            ahead.turn(line - first, turns, |at| _mm_prefetch::<_MM_HINT_T0>(at));
            let row = right.integers.as_ptr().add((line * right.width + column) * 2);
            let right = [0, 16].map(|at| _mm256_loadu_si256(row.add(at).cast()));
            for (q, sums) in sums.iter_mut().enumerate() {
                let pair = left.add(q * stride + 2 * line).cast::<i32>();
                let pair = _mm256_set1_epi32(pair.read_unaligned());
                *sums = [0, 1].map(|i| _mm256_add_epi32(sums[i], _mm256_madd_epi16(pair, right[i])));
            }
        }
    }
    sums
}

/// # Safety
/// The machine has AVX2 and FMA; there are from 1 to 6 queries; lengths as `kernels::score` asserts.
pub(super) unsafe fn score(
    queries: QueryTile<'_>,
    block: &HeadBlock<'_>,
    ahead: Ahead,
    scores: &mut [[f32; BLOCK_TOKENS]],
) {
    for column in (0..BLOCK_TOKENS).step_by(COLUMNS) {
        let ahead = ahead.share(column..column + COLUMNS, BLOCK_TOKENS);
        // SAFETY: handed down; the columns are within the block.
        unsafe { by_queries!(scores.len(), score_tile[](queries, block, column, ahead, scores)) }
    }
}

/// # Safety
/// As [`score`]; `scores.len() == Q`, and the columns exist.
#[target_feature(enable = "avx2,fma")]
unsafe fn score_tile<const Q: usize>(
    queries: QueryTile<'_>,
    block: &HeadBlock<'_>,
    column: usize,
    ahead: Ahead,
    scores: &mut [[f32; BLOCK_TOKENS]],
) {
    let (head_dim, keys) = (queries.head_dim(), Paired::keys(block));
    // SAFETY: each query has `head_dim` integers, and so many lines of two rows have the keys of 64 tokens.
    let sums = unsafe { product::<Q>(queries.integers.as_ptr(), head_dim, keys, 0..head_dim / 2, column, ahead) };
    for (q, sums) in sums.into_iter().enumerate() {
        for (i, sum) in sums.into_iter().enumerate() {
            // SAFETY: two times 8 of 64 scores and scales, of Q queries.
            unsafe {
                let scale = _mm256_loadu_ps(block.key_scales.as_ptr().add(column + i * 8));
                let scale = _mm256_mul_ps(scale, _mm256_set1_ps(*queries.scales.get_unchecked(q)));
                let scores = scores.get_unchecked_mut(q).as_mut_ptr();
                _mm256_storeu_ps(scores.add(column + i * 8), _mm256_mul_ps(_mm256_cvtepi32_ps(sum), scale));
            }
        }
    }
}

/// # Safety
/// The machine has AVX2 and FMA; there are from 1 to 6 queries; lengths as `kernels::weigh` asserts.
pub(super) unsafe fn weigh(
    weights: &[Weights],
    block: &HeadBlock<'_>,
    pairs: Range<usize>,
    ahead: Ahead,
    outputs: &mut [f32],
) {
    let head_dim = Paired::values(block).width;
    for column in (0..head_dim).step_by(COLUMNS) {
        let (pairs, ahead) = (pairs.clone(), ahead.share(column..column + COLUMNS, head_dim));
        // SAFETY: handed down; the columns are within the head.
        unsafe { by_queries!(weights.len(), weigh_tile[](weights, block, pairs, column, ahead, outputs)) }
    }
}

/// # Safety
/// As [`weigh`]; `weights.len() == Q`, and the columns exist.
#[target_feature(enable = "avx2,fma")]
unsafe fn weigh_tile<const Q: usize>(
    weights: &[Weights],
    block: &HeadBlock<'_>,
    pairs: Range<usize>,
    column: usize,
    ahead: Ahead,
    outputs: &mut [f32],
) {
    const STRIDE: usize = size_of::<Weights>() / size_of::<i16>();
    let values = Paired::values(block);
    // SAFETY: `Weights` begins with 64 integers, two for each of up to 32 lines; the columns exist.
    let sums = unsafe { product::<Q>(weights.as_ptr().cast(), STRIDE, values, pairs, column, ahead) };
    for (q, sums) in sums.into_iter().enumerate() {
        for (i, sum) in sums.into_iter().enumerate() {
            // SAFETY: the columns exist in row q of Q.
            unsafe {
                let weights = weights.get_unchecked(q);
                let output = outputs.as_mut_ptr().add(q * values.width + column + i * 8);
                let before = _mm256_mul_ps(_mm256_loadu_ps(output), _mm256_set1_ps(weights.shrink));
                let sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), _mm256_set1_ps(weights.scale), before);
                _mm256_storeu_ps(output, sum);
            }
        }
    }
}
