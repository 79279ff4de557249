//! 256-bit tiers: up to six queries pass over 16 columns of a stage at a time, their 12 accumulators in registers. Bound by
//! the two fused multiply-adds a cycle.

use std::{arch::x86_64::*, ops::Range};

use super::kernels::{Source, Stage, by_queries};
use crate::kv::BLOCK_TOKENS;

/// Columns of a pass.
const COLUMNS: usize = 16;

/// # Safety
/// The machine has AVX2 and F16C.
#[target_feature(enable = "avx2,f16c")]
pub(super) unsafe fn widen(from: Source<'_>, lines: Range<usize>, width: usize, to: &mut Stage) {
    assert!(width.is_multiple_of(16) && width <= BLOCK_TOKENS);
    for line in lines {
        let (halves, to) = (&from.halves[line * from.stride..][..width], &mut to.lines[line]);
        for (halves, to) in halves.as_chunks::<8>().0.iter().zip(to.as_chunks_mut::<8>().0) {
            // SAFETY: 8 halves and as many floats.
            unsafe {
                let halves = _mm_loadu_si128(halves.as_ptr().cast());
                _mm256_storeu_ps(to.as_mut_ptr(), _mm256_cvtph_ps(halves));
            }
        }
    }
}

/// # Safety
/// The machine has AVX2 and FMA; there are from 1 to 6 queries.
pub(super) unsafe fn score(
    queries: &[f32],
    head_dim: usize,
    keys: &Stage,
    depth: usize,
    scores: &mut [[f32; BLOCK_TOKENS]],
) {
    assert!(queries.len() >= (scores.len() - 1) * head_dim + depth);
    let count = scores.len();
    let (left, scores) = (queries.as_ptr(), scores.as_flattened_mut());
    for column in (0..BLOCK_TOKENS).step_by(COLUMNS) {
        // SAFETY: `depth` values of each query, and 64 scores; lengths asserted.
        unsafe {
            let sums = scores.as_mut_ptr().add(column);
            by_queries!(count, tile[](left, head_dim, keys, 0..depth, column, &[1.0; 6], sums, BLOCK_TOKENS));
        }
    }
}

/// # Safety
/// The machine has AVX2 and FMA; there are from 1 to 6 queries.
pub(super) unsafe fn weigh(
    weights: &[[f32; BLOCK_TOKENS]],
    shrink: &[f32],
    values: &Stage,
    tokens: Range<usize>,
    outputs: &mut [f32],
    head_dim: usize,
    width: usize,
) {
    assert!(width.is_multiple_of(COLUMNS) && width <= BLOCK_TOKENS && tokens.end <= BLOCK_TOKENS);
    assert!(outputs.len() >= (weights.len() - 1) * head_dim + width && shrink.len() == weights.len());
    let left = weights.as_flattened().as_ptr();
    for column in (0..width).step_by(COLUMNS) {
        let tokens = tokens.clone();
        // SAFETY: 64 weights of each query, and `width` outputs; lengths asserted.
        unsafe {
            let sums = outputs.as_mut_ptr().add(column);
            by_queries!(weights.len(), tile[](left, BLOCK_TOKENS, values, tokens, column, shrink, sums, head_dim));
        }
    }
}

/// `sums[q][..16] = sums[q] · shrink[q] + Σ_line left[q][line] · stage[line][column..]`, with `left` and `sums` so far apart
/// from query to query as their strides say.
///
/// # Safety
/// The machine has AVX2 and FMA; all that is named exists, for `Q` queries.
#[target_feature(enable = "avx2,fma")]
unsafe fn tile<const Q: usize>(
    left: *const f32,
    left_stride: usize,
    stage: &Stage,
    lines: Range<usize>,
    column: usize,
    shrink: &[f32],
    sums: *mut f32,
    sums_stride: usize,
) {
    // A share of the lines to come for each pass of 16 columns.
    let turns = column / COLUMNS;
    let mut registers = [[_mm256_setzero_ps(); 2]; Q];
    for (q, registers) in registers.iter_mut().enumerate() {
        // SAFETY: 16 sums of query q.
        unsafe {
            let (sums, shrink) = (sums.add(q * sums_stride), _mm256_set1_ps(*shrink.get_unchecked(q)));
            *registers = [0, 8].map(|at| _mm256_mul_ps(_mm256_loadu_ps(sums.add(at)), shrink));
        }
    }
    for line in lines {
        // SAFETY: the stage has the line, and it is 64 wide; a prefetch may point anywhere.
        unsafe {
            if line % 4 == turns {
                stage.ahead.turn(line, |at| _mm_prefetch::<_MM_HINT_T1>(at));
            }
            let right = stage.lines.get_unchecked(line).as_ptr().add(column);
            let right = [_mm256_load_ps(right), _mm256_load_ps(right.add(8))];
            for (q, registers) in registers.iter_mut().enumerate() {
                let left = _mm256_set1_ps(*left.add(q * left_stride + line));
                *registers = [0, 1].map(|i| _mm256_fmadd_ps(left, right[i], registers[i]));
            }
        }
    }
    for (q, registers) in registers.into_iter().enumerate() {
        for (i, sum) in registers.into_iter().enumerate() {
            // SAFETY: 16 sums of query q.
            unsafe { _mm256_storeu_ps(sums.add(q * sums_stride + i * 8), sum) };
        }
    }
}
