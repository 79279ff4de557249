//! The plain twin that the tiers are held against; those without a loop of their own compile it to their registers.

use std::ops::Range;

use half::f16;

use super::{
    Seen,
    kernels::{Source, Stage},
};
use crate::{elementwise::exp, kv::BLOCK_TOKENS};

#[inline(always)]
pub(super) fn widen(from: Source<'_>, lines: Range<usize>, width: usize, to: &mut Stage) {
    for line in lines {
        let halves = &from.halves[line * from.stride..][..width];
        to.lines[line].iter_mut().zip(halves).for_each(|(to, half)| *to = single(*half));
    }
}

#[inline(always)]
pub(super) fn score(queries: &[f32], head_dim: usize, keys: &Stage, depth: usize, scores: &mut [[f32; BLOCK_TOKENS]]) {
    for (query, scores) in queries.chunks(head_dim).zip(scores) {
        for (x, keys) in query.iter().zip(&keys.lines[..depth]) {
            for token in 0..BLOCK_TOKENS {
                scores[token] += x * keys[token];
            }
        }
    }
}

#[inline(always)]
pub(super) fn soften(scores: &mut [f32; BLOCK_TOKENS], seen: Seen, largest: &mut f32, sums: &mut [f32; 16]) -> f32 {
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
    let shrink = if before == f32::NEG_INFINITY { 0.0 } else { exp(before - top) };
    for chunk in scores.as_chunks_mut::<16>().0 {
        for lane in 0..16 {
            chunk[lane] = exp(chunk[lane] - top);
        }
    }
    scores[..seen.from].fill(0.0);
    scores[seen.to..].fill(0.0);
    sums.iter_mut().for_each(|sum| *sum *= shrink);
    for chunk in scores.as_chunks::<16>().0 {
        for lane in 0..16 {
            sums[lane] += chunk[lane];
        }
    }
    shrink
}

#[inline(always)]
pub(super) fn weigh(
    weights: &[[f32; BLOCK_TOKENS]],
    shrink: &[f32],
    values: &Stage,
    tokens: Range<usize>,
    outputs: &mut [f32],
    head_dim: usize,
    width: usize,
) {
    for ((output, weights), shrink) in outputs.chunks_mut(head_dim).zip(weights).zip(shrink) {
        let output = &mut output[..width];
        output.iter_mut().for_each(|x| *x *= shrink);
        for token in tokens.clone() {
            for (x, value) in output.iter_mut().zip(&values.lines[token]) {
                *x += weights[token] * value;
            }
        }
    }
}

/// A finite f16 as f32, in arithmetic that vectorises: the exponent is rebiased by a multiplication, which also makes
/// subnormals right.
#[inline(always)]
fn single(x: f16) -> f32 {
    let bits = u32::from(x.to_bits());
    let magnitude = f32::from_bits((bits & 0x7fff) << 13) * f32::from_bits((254 - 15) << 23);
    f32::from_bits(magnitude.to_bits() | (bits & 0x8000) << 16)
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_finite_half_widens_exactly() {
        for bits in 0..=u16::MAX {
            let half = half::f16::from_bits(bits);
            if half.is_finite() {
                assert_eq!(super::single(half).to_bits(), half.to_f32().to_bits(), "{bits:#x}");
            }
        }
    }
}
