//! The plain twin, which the narrower tiers compile to their own registers.

use half::f16;

use super::{Seen, TILE};
use crate::{elementwise::exp, kv::BLOCK_TOKENS};

#[inline(always)]
pub(super) fn score(queries: &[f32], keys: &[f16], scores: &mut [[f32; BLOCK_TOKENS]]) {
    let head_dim = queries.len() / scores.len();
    for (query, scores) in queries.chunks_exact(head_dim).zip(scores) {
        for (x, keys) in query.iter().zip(keys.as_chunks::<BLOCK_TOKENS>().0) {
            for token in 0..BLOCK_TOKENS {
                scores[token] += x * widen(keys[token]);
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
    shrink: &[f32; TILE],
    values: &[f16],
    seen: std::ops::Range<usize>,
    outputs: &mut [f32],
) {
    let head_dim = outputs.len() / weights.len();
    for (q, output) in outputs.chunks_exact_mut(head_dim).enumerate() {
        output.iter_mut().for_each(|x| *x *= shrink[q]);
        for token in seen.clone() {
            let weight = weights[q][token];
            for (x, value) in output.iter_mut().zip(&values[token * head_dim..][..head_dim]) {
                *x += weight * widen(*value);
            }
        }
    }
}

/// A finite f16 as f32, in arithmetic that vectorises: the exponent is rebiased by a multiplication, which also makes
/// subnormals right.
#[inline(always)]
fn widen(x: f16) -> f32 {
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
                assert_eq!(super::widen(half).to_bits(), half.to_f32().to_bits(), "{bits:#x}");
            }
        }
    }
}
