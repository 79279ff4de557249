//! 512-bit tier: two registers a block. Bound by the horizontal maximum and by the stores.

use std::arch::x86_64::*;

use super::{ActivationRow, Line};
use crate::format::BLOCK;

/// # Safety
/// The machine has AVX-512 F, BW, VL, DQ and VNNI.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) unsafe fn quantize(values: &[f32], row: &mut ActivationRow<'_>) {
    for (block, values) in values.as_chunks::<BLOCK>().0.iter().enumerate() {
        // SAFETY: 32 values.
        let halves = unsafe { [_mm512_loadu_ps(values.as_ptr()), _mm512_loadu_ps(values.as_ptr().add(16))] };
        row.set(block, line(halves));
    }
}

/// # Safety
/// As [`quantize`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) unsafe fn quantize_scaled(x: &[f32], scale: f32, weight: &[f32], row: &mut ActivationRow<'_>) {
    let scale = _mm512_set1_ps(scale);
    let blocks = x.as_chunks::<BLOCK>().0.iter().zip(weight.as_chunks::<BLOCK>().0);
    for (block, (x, weight)) in blocks.enumerate() {
        let halves = [0, 16].map(|at| {
            // SAFETY: 32 values each.
            let (x, weight) =
                unsafe { (_mm512_loadu_ps(x.as_ptr().add(at)), _mm512_loadu_ps(weight.as_ptr().add(at))) };
            _mm512_mul_ps(_mm512_mul_ps(x, scale), weight)
        });
        row.set(block, line(halves));
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn line(halves: [__m512; 2]) -> Line {
    let largest = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(halves[0]), _mm512_abs_ps(halves[1])));
    let inverse = _mm512_set1_ps(if largest > 0.0 { 127.0 / largest } else { 0.0 });
    // The conversion rounds to nearest even, as the portable twin does.
    let codes = halves.map(|half| _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(half, inverse))));
    let sums = codes.map(|codes| {
        let fours = _mm_dpbusd_epi32(_mm_setzero_si128(), _mm_set1_epi8(1), codes);
        let twos = _mm_add_epi32(fours, _mm_shuffle_epi32::<0b01_00_11_10>(fours));
        _mm_cvtsi128_si32(_mm_add_epi32(twos, _mm_shuffle_epi32::<0b10_11_00_01>(twos)))
    });
    let mut bytes = [0; BLOCK];
    // SAFETY: 32 bytes.
    unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), _mm256_set_m128i(codes[1], codes[0])) };
    Line::new(bytes, largest / 127.0, sums)
}
