//! 256-bit tiers: four registers a block. Bound by the horizontal maximum and by the stores.

use std::arch::x86_64::*;

use super::{ActivationRow, Line};
use crate::format::BLOCK;

/// # Safety
/// The machine has AVX2.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn quantize(values: &[f32], row: &mut ActivationRow<'_>) {
    for (block, values) in values.as_chunks::<BLOCK>().0.iter().enumerate() {
        // SAFETY: 32 values.
        row.set(block, line([0, 8, 16, 24].map(|at| unsafe { _mm256_loadu_ps(values.as_ptr().add(at)) })));
    }
}

/// # Safety
/// As [`quantize`].
#[target_feature(enable = "avx2")]
pub(super) unsafe fn quantize_scaled(x: &[f32], scale: f32, weight: &[f32], row: &mut ActivationRow<'_>) {
    let scale = _mm256_set1_ps(scale);
    let blocks = x.as_chunks::<BLOCK>().0.iter().zip(weight.as_chunks::<BLOCK>().0);
    for (block, (x, weight)) in blocks.enumerate() {
        let quarters = [0, 8, 16, 24].map(|at| {
            // SAFETY: 32 values each.
            let (x, weight) =
                unsafe { (_mm256_loadu_ps(x.as_ptr().add(at)), _mm256_loadu_ps(weight.as_ptr().add(at))) };
            _mm256_mul_ps(_mm256_mul_ps(x, scale), weight)
        });
        row.set(block, line(quarters));
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn line(quarters: [__m256; 4]) -> Line {
    let sizes = quarters.map(|quarter| _mm256_andnot_ps(_mm256_set1_ps(-0.0), quarter));
    let eight = _mm256_max_ps(_mm256_max_ps(sizes[0], sizes[1]), _mm256_max_ps(sizes[2], sizes[3]));
    let four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
    let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    let largest = _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps::<1>(two, two)));
    let inverse = _mm256_set1_ps(if largest > 0.0 { 127.0 / largest } else { 0.0 });
    // The conversion rounds to nearest even, as the portable twin does.
    let codes = quarters.map(|quarter| _mm256_cvtps_epi32(_mm256_mul_ps(quarter, inverse)));
    // Packing interleaves 128-bit lanes: fours of codes lie as 0 2 4 6 1 3 5 7 until they are put in order.
    let halves = [_mm256_packs_epi32(codes[0], codes[1]), _mm256_packs_epi32(codes[2], codes[3])];
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    let codes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(halves[0], halves[1]), order);
    let fours = _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8(1), codes), _mm256_set1_epi16(1));
    let twos = _mm256_add_epi32(fours, _mm256_shuffle_epi32::<0b01_00_11_10>(fours));
    let ones = _mm256_add_epi32(twos, _mm256_shuffle_epi32::<0b10_11_00_01>(twos));
    let sums = [_mm256_extract_epi32::<0>(ones), _mm256_extract_epi32::<4>(ones)];
    let mut bytes = [0; BLOCK];
    // SAFETY: 32 bytes.
    unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), codes) };
    Line::new(bytes, largest / 127.0, sums)
}
