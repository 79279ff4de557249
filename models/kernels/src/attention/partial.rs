//! What query vectors have gathered of some spans, and how two such sums become one.
//!
//! Of each vector: the largest score, Σ 2^(score − largest), and the `head_dim` values of Σ 2^(score − largest) · value.

use crate::elementwise::exp2;

/// Floats of a vector.
pub(super) const fn len(head_dim: usize) -> usize {
    head_dim + 2
}

/// Makes vectors that have seen nothing.
pub(super) fn clear(vectors: &mut [f32], head_dim: usize) {
    vectors.chunks_exact_mut(len(head_dim)).for_each(|vector| vector[0] = f32::NEG_INFINITY);
}

/// Adds what each of `parts` has seen to the sum of the same vector.
#[inline(always)]
pub(super) fn merge(sums: &mut [f32], parts: &[f32], head_dim: usize) {
    for (sum, part) in sums.chunks_exact_mut(len(head_dim)).zip(parts.chunks_exact(len(head_dim))) {
        add(sum, part[0], part[1], &part[2..]);
    }
}

/// Adds what a vector has seen of one span to what it saw before.
#[inline(always)]
pub(super) fn add(sum: &mut [f32], largest: f32, total: f32, output: &[f32]) {
    if largest == f32::NEG_INFINITY {
        return;
    }
    if sum[0] == f32::NEG_INFINITY {
        (sum[0], sum[1]) = (largest, total);
        return sum[2..].copy_from_slice(output);
    }
    let top = sum[0].max(largest);
    let (before, now) = (exp2(sum[0] - top), exp2(largest - top));
    (sum[0], sum[1]) = (top, sum[1] * before + total * now);
    for (sum, output) in sum[2..].iter_mut().zip(output) {
        *sum = *sum * before + output * now;
    }
}

/// Memory for the partial results of one attention; kept for the next.
#[derive(Default)]
pub(super) struct Partials(Vec<f32>);

/// The partial results of one attention, which threads write distinct pieces of.
pub(super) struct Places {
    start: *mut f32,
    length: usize,
}

// SAFETY: `place` hands out pieces that its callers keep apart.
unsafe impl Sync for Places {}

impl Partials {
    /// Room for `length` floats.
    pub(super) fn sized(&mut self, length: usize) -> Places {
        if self.0.len() < length {
            self.0.resize(length, 0.0);
        }
        Places { start: self.0.as_mut_ptr(), length }
    }
}

impl Places {
    /// # Safety
    /// The memory is still there, and no two live pieces overlap.
    #[allow(clippy::mut_from_ref)]
    pub(super) unsafe fn place(&self, at: usize, length: usize) -> &mut [f32] {
        assert!(at + length <= self.length);
        // SAFETY: within the memory; the rest by contract.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(at), length) }
    }
}
