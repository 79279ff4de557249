//! 512-bit tier: up to six queries pass over a stage together, their 24 accumulators in registers. Bound by the two fused
//! multiply-adds a cycle.

use std::{arch::x86_64::*, ops::Range};

use super::{
    Seen,
    kernels::{Source, Stage, by_queries},
};
use crate::kv::BLOCK_TOKENS;

/// # Safety
/// The machine has AVX-512 F.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn widen(from: Source<'_>, lines: Range<usize>, width: usize, to: &mut Stage) {
    assert!(width.is_multiple_of(16) && width <= BLOCK_TOKENS);
    for line in lines {
        let (halves, to) = (&from.halves[line * from.stride..][..width], &mut to.lines[line]);
        for (halves, to) in halves.as_chunks::<16>().0.iter().zip(to.as_chunks_mut::<16>().0) {
            // SAFETY: 16 halves and as many floats.
            unsafe {
                let halves = _mm256_loadu_si256(halves.as_ptr().cast());
                _mm512_storeu_ps(to.as_mut_ptr(), _mm512_cvtph_ps(halves));
            }
        }
    }
}

/// # Safety
/// The machine has AVX-512 F; there are from 1 to 6 queries.
pub(super) unsafe fn score(
    queries: &[f32],
    head_dim: usize,
    keys: &Stage,
    depth: usize,
    scores: &mut [[f32; BLOCK_TOKENS]],
) {
    assert!(queries.len() >= (scores.len() - 1) * head_dim + depth);
    // SAFETY: handed down; lengths asserted.
    unsafe { by_queries!(scores.len(), score_tile[](queries, head_dim, keys, depth, scores)) }
}

/// # Safety
/// As [`score`]; `scores.len() == Q`, and `queries` holds `depth` values of each.
#[target_feature(enable = "avx512f")]
unsafe fn score_tile<const Q: usize>(
    queries: &[f32],
    head_dim: usize,
    keys: &Stage,
    depth: usize,
    scores: &mut [[f32; BLOCK_TOKENS]],
) {
    let mut sums = [[_mm512_setzero_ps(); 4]; Q];
    for (sums, scores) in sums.iter_mut().zip(&*scores) {
        for (i, sum) in sums.iter_mut().enumerate() {
            // SAFETY: four times 16 of 64 scores.
            *sum = unsafe { _mm512_loadu_ps(scores.as_ptr().add(i * 16)) };
        }
    }
    for (d, line) in keys.lines[..depth].iter().enumerate() {
        // SAFETY: 64 keys, and one value of each query; a prefetch may point anywhere.
        unsafe {
            keys.ahead.turn(d, |at| _mm_prefetch::<_MM_HINT_T1>(at));
            let keys: [__m512; 4] = std::array::from_fn(|i| _mm512_load_ps(line.as_ptr().add(i * 16)));
            for (q, sums) in sums.iter_mut().enumerate() {
                let x = _mm512_set1_ps(*queries.as_ptr().add(q * head_dim + d));
                for (sum, keys) in sums.iter_mut().zip(keys) {
                    *sum = _mm512_fmadd_ps(x, keys, *sum);
                }
            }
        }
    }
    for (scores, sums) in scores.iter_mut().zip(sums) {
        for (i, sum) in sums.into_iter().enumerate() {
            // SAFETY: four times 16 of 64 scores.
            unsafe { _mm512_storeu_ps(scores.as_mut_ptr().add(i * 16), sum) };
        }
    }
}

/// # Safety
/// The machine has AVX-512 F.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn soften(
    scores: &mut [f32; BLOCK_TOKENS],
    seen: Seen,
    largest: &mut f32,
    sums: &mut [f32; 16],
) -> f32 {
    let until = |count: usize| if count < BLOCK_TOKENS { (1u64 << count) - 1 } else { u64::MAX };
    let mask = until(seen.to) & !until(seen.from);
    let nothing = _mm512_set1_ps(f32::NEG_INFINITY);
    let chunks: [__m512; 4] = std::array::from_fn(|i| {
        // SAFETY: four times 16 of 64 scores.
        unsafe { _mm512_mask_loadu_ps(nothing, (mask >> (i * 16)) as u16, scores.as_ptr().add(i * 16)) }
    });
    let lanes = _mm512_max_ps(_mm512_max_ps(chunks[0], chunks[1]), _mm512_max_ps(chunks[2], chunks[3]));
    let before = *largest;
    let top = _mm512_reduce_max_ps(lanes).max(before);
    *largest = top;
    let top = _mm512_set1_ps(top);
    // e^−∞ is 0: unseen scores weigh nothing, and the first block has nothing to shrink.
    let shrink = exp(_mm512_sub_ps(_mm512_set1_ps(before), top));
    let weights = chunks.map(|chunk| exp(_mm512_sub_ps(chunk, top)));
    // SAFETY: sums are 16 floats, scores four times as many.
    unsafe {
        let mut sum = _mm512_mul_ps(_mm512_loadu_ps(sums.as_ptr()), shrink);
        for (i, weights) in weights.into_iter().enumerate() {
            sum = _mm512_add_ps(sum, weights);
            _mm512_storeu_ps(scores.as_mut_ptr().add(i * 16), weights);
        }
        _mm512_storeu_ps(sums.as_mut_ptr(), sum);
    }
    _mm512_cvtss_f32(shrink)
}

/// e^x for x ≤ 0, to a few units in the last place: 2^n · p(r), with p as in Cephes' `expf`.
#[inline]
#[target_feature(enable = "avx512f")]
fn exp(x: __m512) -> __m512 {
    let n = _mm512_roundscale_ps::<0x08>(_mm512_mul_ps(x, _mm512_set1_ps(std::f32::consts::LOG2_E)));
    let r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693_359_4), x);
    let r = _mm512_fmadd_ps(n, _mm512_set1_ps(2.121_944_4e-4), r);
    let mut p = _mm512_set1_ps(1.987_569_2e-4);
    for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5] {
        p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(c));
    }
    let p = _mm512_add_ps(_mm512_fmadd_ps(p, _mm512_mul_ps(r, r), r), _mm512_set1_ps(1.0));
    // Where n is −∞, r is not a number: 0 there.
    let finite = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(x, _mm512_set1_ps(-87.3));
    _mm512_maskz_scalef_ps(finite, p, n)
}

/// # Safety
/// The machine has AVX-512 F; there are from 1 to 6 queries.
pub(super) unsafe fn weigh(
    weights: &[[f32; BLOCK_TOKENS]],
    shrink: &[f32],
    values: &Stage,
    tokens: Range<usize>,
    outputs: &mut [f32],
    head_dim: usize,
    width: usize,
) {
    assert!(width.is_multiple_of(16) && width <= BLOCK_TOKENS && tokens.end <= BLOCK_TOKENS);
    assert!(outputs.len() >= (weights.len() - 1) * head_dim + width && shrink.len() == weights.len());
    // SAFETY: handed down; lengths asserted.
    unsafe {
        if width == BLOCK_TOKENS {
            return by_queries!(weights.len(), weigh_tile[4](weights, shrink, values, tokens, outputs, head_dim, 0));
        }
        for column in (0..width).step_by(16) {
            let tokens = tokens.clone();
            by_queries!(weights.len(), weigh_tile[1](weights, shrink, values, tokens, outputs, head_dim, column));
        }
    }
}

/// Columns `column..column + 16·W`.
///
/// # Safety
/// As [`weigh`]; `weights.len() == Q`, and the columns exist in all outputs.
#[target_feature(enable = "avx512f")]
unsafe fn weigh_tile<const Q: usize, const W: usize>(
    weights: &[[f32; BLOCK_TOKENS]],
    shrink: &[f32],
    values: &Stage,
    tokens: Range<usize>,
    outputs: &mut [f32],
    head_dim: usize,
    column: usize,
) {
    let mut sums = [[_mm512_setzero_ps(); W]; Q];
    for (q, sums) in sums.iter_mut().enumerate() {
        let shrink = _mm512_set1_ps(shrink[q]);
        for (i, sum) in sums.iter_mut().enumerate() {
            // SAFETY: the columns exist in row q.
            let before = unsafe { _mm512_loadu_ps(outputs.as_ptr().add(q * head_dim + column + i * 16)) };
            *sum = _mm512_mul_ps(before, shrink);
        }
    }
    for token in tokens {
        // SAFETY: `token < 64`, and the stage is 64 wide; a prefetch may point anywhere.
        unsafe {
            values.ahead.turn(token, |at| _mm_prefetch::<_MM_HINT_T1>(at));
            let row = values.lines.get_unchecked(token).as_ptr().add(column);
            let values: [__m512; W] = std::array::from_fn(|i| _mm512_load_ps(row.add(i * 16)));
            for (q, sums) in sums.iter_mut().enumerate() {
                let weight = _mm512_set1_ps(*weights.get_unchecked(q).get_unchecked(token));
                for (sum, value) in sums.iter_mut().zip(values) {
                    *sum = _mm512_fmadd_ps(weight, value, *sum);
                }
            }
        }
    }
    for (q, sums) in sums.into_iter().enumerate() {
        for (i, sum) in sums.into_iter().enumerate() {
            // SAFETY: the columns exist in row q.
            unsafe { _mm512_storeu_ps(outputs.as_mut_ptr().add(q * head_dim + column + i * 16), sum) };
        }
    }
}
