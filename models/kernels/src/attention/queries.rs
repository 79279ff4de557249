//! A step's query vectors as attention multiplies them.

use std::f32::consts::LOG2_E;

use crate::{fixed::Scale, linear::Out};

/// Query vectors of all rows, rotated and scaled, as integers (`fixed.rs`). Keeps its memory from step to step.
#[derive(Debug, Default)]
pub struct Queries {
    heads: usize,
    head_dim: usize,
    /// `[rows, heads, head_dim]`.
    integers: Vec<i16>,
    /// `[rows, heads]`: what a vector's integers are multiplied by, and log₂e, which makes scores exponents of 2.
    scales: Vec<f32>,
}

impl Queries {
    /// Room for `rows` rows, which threads fill.
    pub(crate) fn writer(&mut self, rows: usize, heads: usize, head_dim: usize) -> QueryWriter {
        (self.heads, self.head_dim) = (heads, head_dim);
        self.integers.resize(rows * heads * head_dim, 0);
        self.scales.resize(rows * heads, 0.0);
        QueryWriter {
            head_dim,
            integers: Out { start: self.integers.as_mut_ptr(), width: heads * head_dim },
            scales: Out { start: self.scales.as_mut_ptr(), width: heads },
        }
    }

    /// How many rows there are.
    pub(super) fn rows(&self) -> usize {
        self.scales.len() / self.heads.max(1)
    }

    /// Those of some rows.
    #[cfg(test)]
    pub(super) fn rows_of(&self, rows: std::ops::Range<usize>) -> Self {
        let (integers, scales) = self.of(rows.start, 0, self.heads * rows.len());
        Self { heads: self.heads, head_dim: self.head_dim, integers: integers.to_vec(), scales: scales.to_vec() }
    }

    /// Integers and scales of `heads` heads of a row, from `first` on.
    pub(super) fn of(&self, row: usize, first: usize, heads: usize) -> (&[i16], &[f32]) {
        let at = row * self.heads + first;
        (&self.integers[at * self.head_dim..][..heads * self.head_dim], &self.scales[at..][..heads])
    }
}

/// [`Queries`] that are being filled, row by row, by several threads.
pub(crate) struct QueryWriter {
    head_dim: usize,
    integers: Out<i16>,
    scales: Out<f32>,
}

impl QueryWriter {
    /// Stores the queries of a row, `[heads, head_dim]`.
    ///
    /// # Safety
    /// The row exists, and no other thread writes it meanwhile.
    #[inline(always)]
    pub(crate) unsafe fn store(&self, row: usize, queries: &[f32]) {
        // SAFETY: by contract.
        let integers = unsafe { self.integers.slice(row, 0, self.integers.width) };
        // SAFETY: as above.
        let scales = unsafe { self.scales.slice(row, 0, self.scales.width) };
        let vectors = queries.chunks_exact(self.head_dim).zip(integers.chunks_exact_mut(self.head_dim));
        for ((query, integers), scale) in vectors.zip(scales) {
            let by = Scale::by_norm(query);
            for (query, integers) in query.as_chunks::<16>().0.iter().zip(integers.as_chunks_mut::<16>().0) {
                *integers = by.integers(query);
            }
            *scale = by.value * LOG2_E;
        }
    }
}
