//! 512-bit tier of rounding: to the bit what the plain one gives. Bound by the two horizontal reductions.

use std::arch::x86_64::*;

use super::Scale;

/// Rounds a vector whose scale follows from its norm and its largest value; lengths are multiples of 16.
///
/// # Safety
/// The machine has AVX-512 F.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn round(vector: &[f32], integers: &mut [i16], by: impl Fn(f32, f32) -> Scale) -> f32 {
    let (mut squares, mut largest) = (_mm512_setzero_ps(), _mm512_setzero_ps());
    for chunk in vector.as_chunks::<16>().0 {
        // SAFETY: 16 floats.
        let x = unsafe { _mm512_loadu_ps(chunk.as_ptr()) };
        squares = _mm512_add_ps(squares, _mm512_mul_ps(x, x));
        largest = _mm512_max_ps(_mm512_abs_ps(x), largest);
    }
    let scale = by(sum(squares).sqrt(), _mm512_reduce_max_ps(largest));
    for (chunk, integers) in vector.as_chunks::<16>().0.iter().zip(integers.as_chunks_mut::<16>().0) {
        // SAFETY: 16 floats and as many integers.
        unsafe {
            let x = _mm512_mul_ps(_mm512_loadu_ps(chunk.as_ptr()), _mm512_set1_ps(scale.inverse));
            let x = _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(x));
            _mm256_storeu_si256(integers.as_mut_ptr().cast(), x);
        }
    }
    scale.value
}

/// Lanes in the order of `fixed::fold`.
#[inline]
#[target_feature(enable = "avx512f")]
fn sum(x: __m512) -> f32 {
    let x = _mm512_add_ps(x, _mm512_shuffle_f32x4::<0b11_10_11_10>(x, x));
    let x = _mm512_castps512_ps128(_mm512_add_ps(x, _mm512_shuffle_f32x4::<0b01_01_01_01>(x, x)));
    let x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)))
}
