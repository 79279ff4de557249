//! 512-bit tier: up to six queries pass over a block together, their 24 accumulators in registers. Bound by the two
//! multiplications of 16-bit pairs a cycle (`vpdpwssd`).

use std::{arch::x86_64::*, ops::Range};

use super::{
    Seen,
    kernels::{Ahead, Paired, QueryTile, Weights, by_queries},
};
use crate::{
    elementwise::EXP2,
    fixed::Scale,
    kv::{BLOCK_TOKENS, HeadBlock},
};

/// Columns `column..column + 16·W` of the product of `Q` rows of integers, `stride` from one to the next, and `lines` of a
/// matrix.
///
/// # Safety
/// The machine has AVX-512 VNNI; the rows have two integers for each line; lines and columns exist.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn product<const Q: usize, const W: usize>(
    left: *const i16,
    stride: usize,
    right: Paired<'_>,
    lines: Range<usize>,
    column: usize,
    ahead: Ahead,
) -> [[__m512i; W]; Q] {
    let mut sums = [[_mm512_setzero_si512(); W]; Q];
    let turns = lines.len();
    let first = lines.start;
    for line in lines {
        // SAFETY: by contract; a prefetch may point anywhere.
        unsafe {
            ahead.turn(line - first, turns, |at| _mm_prefetch::<_MM_HINT_T0>(at));
            let row = right.integers.as_ptr().add((line * right.width + column) * 2);
            let right: [__m512i; W] = std::array::from_fn(|i| _mm512_loadu_si512(row.add(i * 32).cast()));
            for (q, sums) in sums.iter_mut().enumerate() {
                let pair = left.add(q * stride + 2 * line).cast::<i32>();
                let pair = _mm512_set1_epi32(pair.read_unaligned());
                for (sum, right) in sums.iter_mut().zip(right) {
                    *sum = _mm512_dpwssd_epi32(*sum, pair, right);
                }
            }
        }
    }
    sums
}

/// # Safety
/// The machine has AVX-512 VNNI; there are from 1 to 6 queries; lengths as `kernels::score` asserts.
pub(super) unsafe fn score(
    queries: QueryTile<'_>,
    block: &HeadBlock<'_>,
    ahead: Ahead,
    scores: &mut [[f32; BLOCK_TOKENS]],
) {
    // SAFETY: handed down.
    unsafe { by_queries!(scores.len(), score_tile[](queries, block, ahead, scores)) }
}

/// # Safety
/// As [`score`]; `scores.len() == Q`.
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn score_tile<const Q: usize>(
    queries: QueryTile<'_>,
    block: &HeadBlock<'_>,
    ahead: Ahead,
    scores: &mut [[f32; BLOCK_TOKENS]],
) {
    let (head_dim, keys) = (queries.head_dim(), Paired::keys(block));
    // SAFETY: each query has `head_dim` integers, and so many lines of two rows have the keys of 64 tokens.
    let sums = unsafe { product::<Q, 4>(queries.integers.as_ptr(), head_dim, keys, 0..head_dim / 2, 0, ahead) };
    for (q, sums) in sums.into_iter().enumerate() {
        for (i, sum) in sums.into_iter().enumerate() {
            // SAFETY: four times 16 of 64 scores and scales, of Q queries.
            unsafe {
                let scale = _mm512_loadu_ps(block.key_scales.as_ptr().add(i * 16));
                let scale = _mm512_mul_ps(scale, _mm512_set1_ps(*queries.scales.get_unchecked(q)));
                let scores = scores.get_unchecked_mut(q).as_mut_ptr();
                _mm512_storeu_ps(scores.add(i * 16), _mm512_mul_ps(_mm512_cvtepi32_ps(sum), scale));
            }
        }
    }
}

/// # Safety
/// The machine has AVX-512 F; lengths as `kernels::soften` asserts.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn soften(
    scores: &[[f32; BLOCK_TOKENS]],
    seen: &[Seen],
    value_scales: &[f32; BLOCK_TOKENS],
    largest: &mut [f32],
    sums: &mut [[f32; 16]],
    weights: &mut [Weights],
) {
    let mut q = 0;
    while q < scores.len() {
        // SAFETY: handed down; so many queries are left.
        q += unsafe {
            match scores.len() - q {
                1 => soften_some::<1>(q, scores, seen, value_scales, largest, sums, weights),
                2 => soften_some::<2>(q, scores, seen, value_scales, largest, sums, weights),
                3 => soften_some::<3>(q, scores, seen, value_scales, largest, sums, weights),
                _ => soften_some::<4>(q, scores, seen, value_scales, largest, sums, weights),
            }
        };
    }
}

/// `N` queries from `q` on: up to four, whose lanes are reduced together.
///
/// # Safety
/// As [`soften`]; there are as many.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn soften_some<const N: usize>(
    q: usize,
    scores: &[[f32; BLOCK_TOKENS]],
    seen: &[Seen],
    value_scales: &[f32; BLOCK_TOKENS],
    largest: &mut [f32],
    sums: &mut [[f32; 16]],
    weights: &mut [Weights],
) -> usize {
    let (scores, seen, weights) = (&scores[q..q + N], &seen[q..q + N], &mut weights[q..q + N]);
    let (largest, sums) = (&mut largest[q..q + N], &mut sums[q..q + N]);
    let max = |a: __m512, b: __m512| _mm512_max_ps(a, b);
    let add = |a: __m512, b: __m512| _mm512_add_ps(a, b);
    let four = |x: [f32; 4]| _mm_set_ps(x[3], x[2], x[1], x[0]);
    let each = |x: __m128| -> [f32; 4] {
        let mut values = [0.0; 4];
        // SAFETY: four floats.
        unsafe { _mm_storeu_ps(values.as_mut_ptr(), x) };
        values
    };
    let chunks: [[__m512; 4]; N] = std::array::from_fn(|i| seen_chunks(&scores[i], seen[i]));
    let before = four(std::array::from_fn(|i| largest[i % N]));
    let tops = _mm_max_ps(reduce(max, chunks.map(|chunks| pairwise(max, chunks))), before);
    // 2^−∞ is nothing: what is not seen weighs nothing, and the first block has nothing to shrink.
    let shrink = each(_mm512_castps512_ps128(exp2(_mm512_castps128_ps512(_mm_sub_ps(before, tops)))));
    let tops = each(tops);
    let mut weighted = chunks;
    for (i, weighted) in weighted.iter_mut().enumerate() {
        let chunks = weighted.map(|chunk| exp2(_mm512_sub_ps(chunk, _mm512_set1_ps(tops[i]))));
        // SAFETY: sums are 16 floats, and scales four times 16.
        unsafe {
            let before = _mm512_mul_ps(_mm512_loadu_ps(sums[i].as_ptr()), _mm512_set1_ps(shrink[i]));
            _mm512_storeu_ps(sums[i].as_mut_ptr(), _mm512_add_ps(before, pairwise(add, chunks)));
            *weighted = std::array::from_fn(|chunk| {
                _mm512_mul_ps(chunks[chunk], _mm512_loadu_ps(value_scales.as_ptr().add(chunk * 16)))
            });
        }
        (largest[i], weights[i].shrink) = (tops[i], shrink[i]);
    }
    let total = each(reduce(add, weighted.map(|weighted| pairwise(add, weighted))));
    let highest = each(reduce(max, weighted.map(|weighted| pairwise(max, weighted))));
    for (i, (weights, weighted)) in weights.iter_mut().zip(weighted).enumerate() {
        let scale = Scale::of_weights(total[i], highest[i]);
        weights.scale = scale.value;
        for (chunk, weighted) in weighted.into_iter().enumerate() {
            let integers = _mm512_cvtps_epi32(_mm512_mul_ps(weighted, _mm512_set1_ps(scale.inverse)));
            // SAFETY: four times 16 of 64 integers.
            unsafe {
                let to = weights.integers.as_mut_ptr().add(chunk * 16).cast();
                _mm256_storeu_si256(to, _mm512_cvtepi32_epi16(integers));
            }
        }
    }
    N
}

#[inline(always)]
fn pairwise(by: impl Fn(__m512, __m512) -> __m512, x: [__m512; 4]) -> __m512 {
    by(by(x[0], x[1]), by(x[2], x[3]))
}

/// What the lanes of up to four vectors come to.
#[inline]
#[target_feature(enable = "avx512f")]
fn reduce<const N: usize>(by: impl Fn(__m512, __m512) -> __m512, x: [__m512; N]) -> __m128 {
    let x: [__m512; 4] = std::array::from_fn(|i| x[i % N]);
    let pairs = [[x[0], x[1]], [x[2], x[3]]].map(|[a, b]| by(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)));
    let [a, b] = pairs.map(|x| _mm512_castps_pd(x));
    let [low, high] = [_mm512_unpacklo_pd(a, b), _mm512_unpackhi_pd(a, b)].map(|x| _mm512_castpd_ps(x));
    // Each 128 bits hold something of all four now.
    let x = by(low, high);
    let x = by(x, _mm512_shuffle_f32x4::<0b01_00_11_10>(x, x));
    let x = by(x, _mm512_shuffle_f32x4::<0b10_11_00_01>(x, x));
    _mm512_castps512_ps128(x)
}

/// Scores, −∞ where nothing is seen.
#[inline]
#[target_feature(enable = "avx512f")]
fn seen_chunks(scores: &[f32; BLOCK_TOKENS], seen: Seen) -> [__m512; 4] {
    let until = |count: usize| if count < BLOCK_TOKENS { (1u64 << count) - 1 } else { u64::MAX };
    let mask = until(seen.to) & !until(seen.from);
    let nothing = _mm512_set1_ps(f32::NEG_INFINITY);
    std::array::from_fn(|i| {
        // SAFETY: four times 16 of 64 scores.
        unsafe { _mm512_mask_loadu_ps(nothing, (mask >> (i * 16)) as u16, scores.as_ptr().add(i * 16)) }
    })
}

/// 2^x for x ≤ 0, to 2·10⁻⁷ of it; 2^−126 for what is less, which is nothing beside the largest weight, 1.
#[inline]
#[target_feature(enable = "avx512f")]
fn exp2(x: __m512) -> __m512 {
    let x = _mm512_max_ps(x, _mm512_set1_ps(-126.0));
    let n = _mm512_roundscale_ps::<0x08>(x);
    let r = _mm512_sub_ps(x, n);
    let mut p = _mm512_set1_ps(EXP2[0]);
    for c in &EXP2[1..] {
        p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(*c));
    }
    _mm512_scalef_ps(p, n)
}

/// # Safety
/// The machine has AVX-512 VNNI; there are from 1 to 6 queries; lengths as `kernels::weigh` asserts.
pub(super) unsafe fn weigh(
    weights: &[Weights],
    block: &HeadBlock<'_>,
    pairs: Range<usize>,
    ahead: Ahead,
    outputs: &mut [f32],
) {
    let head_dim = Paired::values(block).width;
    let mut column = 0;
    while column < head_dim {
        let wide = if column + 64 <= head_dim { 64 } else { 16 };
        let ahead = ahead.share(column..column + wide, head_dim);
        let pairs = pairs.clone();
        // SAFETY: handed down; the columns are within the head.
        unsafe {
            if wide == 64 {
                by_queries!(weights.len(), weigh_tile[4](weights, block, pairs, column, ahead, outputs));
            } else {
                by_queries!(weights.len(), weigh_tile[1](weights, block, pairs, column, ahead, outputs));
            }
        }
        column += wide;
    }
}

/// Columns `column..column + 16·W`.
///
/// # Safety
/// As [`weigh`]; `weights.len() == Q`, and the columns exist.
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn weigh_tile<const Q: usize, const W: usize>(
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
    let sums = unsafe { product::<Q, W>(weights.as_ptr().cast(), STRIDE, values, pairs, column, ahead) };
    for (q, sums) in sums.into_iter().enumerate() {
        for (i, sum) in sums.into_iter().enumerate() {
            // SAFETY: the columns exist in row q of Q.
            unsafe {
                let weights = weights.get_unchecked(q);
                let output = outputs.as_mut_ptr().add(q * values.width + column + i * 16);
                let before = _mm512_mul_ps(_mm512_loadu_ps(output), _mm512_set1_ps(weights.shrink));
                let sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), _mm512_set1_ps(weights.scale), before);
                _mm512_storeu_ps(output, sum);
            }
        }
    }
}
