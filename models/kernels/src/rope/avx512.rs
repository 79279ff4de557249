//! 512-bit tier of the rotation: to the bit what the plain one gives, hence no fused multiply-adds.

use std::arch::x86_64::*;

/// Values 2i and 2i + 1 of 16 at a time, which no compiler finds.
///
/// # Safety
/// The machine has AVX-512 F.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn rotate_neighbours(head: &mut [f32], cos: &[f32], sin: &[f32]) {
    let twice = _mm512_set_epi32(7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0);
    // SAFETY: eight floats.
    let pairs =
        |x: &[f32; 8]| unsafe { _mm512_permutexvar_ps(twice, _mm512_castps256_ps512(_mm256_loadu_ps(x.as_ptr()))) };
    let swapped = |x| _mm512_permute_ps::<0b10_11_00_01>(x);
    const FIRSTS: __mmask16 = 0b0101_0101_0101_0101;
    let angles = cos.as_chunks::<8>().0.iter().zip(sin.as_chunks::<8>().0);
    for (chunk, (cos, sin)) in head.as_chunks_mut::<16>().0.iter_mut().zip(angles) {
        // SAFETY: 16 floats.
        unsafe {
            let x = _mm512_loadu_ps(chunk.as_ptr());
            let (own, other) = (_mm512_mul_ps(x, pairs(cos)), _mm512_mul_ps(swapped(x), pairs(sin)));
            let turned = _mm512_mask_sub_ps(_mm512_add_ps(own, other), FIRSTS, own, other);
            _mm512_storeu_ps(chunk.as_mut_ptr(), turned);
        }
    }
}

/// Values i and i + half the head, of which there may be no more than eight in a row.
///
/// # Safety
/// The machine has AVX.
#[inline]
#[target_feature(enable = "avx")]
pub(super) unsafe fn rotate_halves(head: &mut [f32], cos: &[f32], sin: &[f32]) {
    let (first, second) = head.split_at_mut(head.len() / 2);
    let (first, second) = (first.as_chunks_mut::<8>().0.iter_mut(), second.as_chunks_mut::<8>().0);
    let angles = cos.as_chunks::<8>().0.iter().zip(sin.as_chunks::<8>().0);
    for ((first, second), (cos, sin)) in first.zip(second).zip(angles) {
        // SAFETY: eight floats each.
        unsafe {
            let [x, y] = [&*first, &*second].map(|x| _mm256_loadu_ps(x.as_ptr()));
            let [cos, sin] = [cos, sin].map(|x| _mm256_loadu_ps(x.as_ptr()));
            _mm256_storeu_ps(first.as_mut_ptr(), _mm256_sub_ps(_mm256_mul_ps(x, cos), _mm256_mul_ps(y, sin)));
            _mm256_storeu_ps(second.as_mut_ptr(), _mm256_add_ps(_mm256_mul_ps(x, sin), _mm256_mul_ps(y, cos)));
        }
    }
}
