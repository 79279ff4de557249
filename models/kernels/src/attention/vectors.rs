//! A step's queries, keys and values as attention multiplies them.

use std::f32::consts::LOG2_E;

use super::Heads;
use crate::{
    Isa,
    fixed::{round_product, round_value},
    linear::Out,
};

/// Queries, keys and values of all rows, rotated and scaled, as integers (`fixed.rs`). Keeps its memory from step to step.
#[derive(Debug, Default)]
pub struct Vectors {
    /// Vectors of a row: heads, key-value heads, key-value heads.
    each: usize,
    head_dim: usize,
    /// `[rows, each, head_dim]`.
    integers: Vec<i16>,
    /// `[rows, each]`: what a vector's integers are multiplied by; a query's also by log₂e, which makes scores exponents
    /// of 2.
    scales: Vec<f32>,
}

impl Vectors {
    /// Room for `rows` rows, which threads fill.
    pub(crate) fn writer(&mut self, rows: usize, heads: Heads) -> VectorWriter {
        (self.each, self.head_dim) = (heads.heads + 2 * heads.kv_heads, heads.head_dim);
        self.integers.resize(rows * heads.width(), 0);
        self.scales.resize(rows * self.each, 0.0);
        VectorWriter {
            heads,
            integers: Out { start: self.integers.as_mut_ptr(), width: heads.width() },
            scales: Out { start: self.scales.as_mut_ptr(), width: self.each },
        }
    }

    /// How many rows there are.
    pub(super) fn rows(&self) -> usize {
        self.scales.len() / self.each.max(1)
    }

    /// Integers and scales of `count` vectors of a row, from `first` on.
    pub(super) fn of(&self, row: usize, first: usize, count: usize) -> (&[i16], &[f32]) {
        let at = row * self.each + first;
        (&self.integers[at * self.head_dim..][..count * self.head_dim], &self.scales[at..][..count])
    }

    /// Those of some rows.
    #[cfg(test)]
    pub(super) fn rows_of(&self, rows: std::ops::Range<usize>) -> Self {
        let (integers, scales) = self.of(rows.start, 0, self.each * rows.len());
        Self { integers: integers.to_vec(), scales: scales.to_vec(), ..*self }
    }
}

/// [`Vectors`] that are being filled, row by row, by several threads.
pub(crate) struct VectorWriter {
    heads: Heads,
    integers: Out<i16>,
    scales: Out<f32>,
}

impl VectorWriter {
    /// Rounds a row's queries, keys and values.
    ///
    /// # Safety
    /// The row exists, and no other thread writes or reads it meanwhile.
    #[inline(always)]
    pub(crate) unsafe fn round(&self, isa: Isa, row: usize, qkv: &[f32]) {
        let Heads { heads, kv_heads, head_dim, .. } = self.heads;
        // SAFETY: by contract.
        let (integers, scales) = unsafe { self.row(row) };
        let vectors = qkv.chunks_exact(head_dim).zip(integers.chunks_exact_mut(head_dim)).zip(scales);
        for (at, ((vector, integers), scale)) in vectors.enumerate() {
            *scale = if at < heads {
                round_product(isa, vector, integers) * LOG2_E
            } else if at < heads + kv_heads {
                round_product(isa, vector, integers)
            } else {
                round_value(isa, vector, integers)
            };
        }
    }

    /// Integers and scales of a row.
    ///
    /// # Safety
    /// As [`Self::round`].
    #[inline(always)]
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn row(&self, row: usize) -> (&mut [i16], &mut [f32]) {
        // SAFETY: by contract.
        unsafe { (self.integers.slice(row, 0, self.integers.width), self.scales.slice(row, 0, self.scales.width)) }
    }
}
