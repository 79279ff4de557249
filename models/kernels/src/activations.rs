//! A layer's input as int8: quantised once, used by every matrix that reads it.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

use crate::{format::BLOCK, tile::tile_at};

/// Rows of activations, int8 with one f32 scale per 32 values: `x ≈ scale · q`, q from −127 to 127, rounded to nearest
/// even. Finer than ggml's Q8_0 (an f16 scale) and Q8_K (a scale per 256).
///
/// They lie as the kernels read them: rows in tiles (`tile/mod.rs`), in a tile block by block, in a block row by
/// row, one cache line each.
#[derive(Debug, Default)]
pub struct Activations {
    rows: usize,
    columns: usize,
    lines: Vec<Line>,
}

/// A row's block.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Line {
    pub(crate) codes: [i8; BLOCK],
    pub(crate) scale: f32,
    /// scale · Σq, which a block's minimum is multiplied by.
    pub(crate) weighted_sum: f32,
    /// −8 · Σq, −16 · Σq and −128 · Σq: where the dot product with codes of that offset starts.
    pub(crate) starts: [i32; 3],
    /// −32 · Σq of each half (Q6_K).
    pub(crate) half_starts: [i32; 2],
    unused: i32,
}

impl Line {
    const EMPTY: Self =
        Self { codes: [0; BLOCK], scale: 0.0, weighted_sum: 0.0, starts: [0; 3], half_starts: [0; 2], unused: 0 };

    fn new(codes: [i8; BLOCK], scale: f32, sums: [i32; 2]) -> Self {
        let sum = sums[0] + sums[1];
        Self {
            codes,
            scale,
            weighted_sum: scale * sum as f32,
            starts: [-8 * sum, -16 * sum, -128 * sum],
            half_starts: sums.map(|sum| -32 * sum),
            unused: 0,
        }
    }

    /// Quantises 32 values.
    #[inline(always)]
    pub(crate) fn quantize(values: &[f32; BLOCK]) -> Self {
        let mut lanes = [0f32; 16];
        for k in 0..16 {
            lanes[k] = values[k].abs().max(values[k + 16].abs());
        }
        let largest = lanes.iter().fold(0f32, |a, &b| a.max(b));
        let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
        let (mut codes, mut sums) = ([0; BLOCK], [0; 2]);
        for k in 0..BLOCK {
            let q = round(values[k] * inverse);
            codes[k] = q as i8;
            sums[k / 16] += q;
        }
        Self::new(codes, largest / 127.0, sums)
    }
}

/// Nearest integer, ties to even, for |x| < 2^22: adding 1.5·2^23 leaves the rounded integer in the low mantissa bits.
#[inline(always)]
pub(crate) fn round(x: f32) -> i32 {
    const MAGIC: f32 = 12_582_912.0;
    (x + MAGIC).to_bits() as i32 - MAGIC.to_bits() as i32
}

impl Activations {
    /// Room for `[rows, columns]`; `columns` a multiple of 32. Keeps its memory from step to step.
    pub fn resize(&mut self, rows: usize, columns: usize) {
        assert!(columns.is_multiple_of(BLOCK), "activations come in blocks of {BLOCK}");
        (self.rows, self.columns) = (rows, columns);
        let lines = rows * columns / BLOCK;
        if self.lines.len() < lines {
            self.lines.resize(lines, Line::EMPTY);
        }
    }

    /// Rows held.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Values of a row.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Bytes of a row.
    pub(crate) fn row_bytes(&self) -> usize {
        self.columns / BLOCK * size_of::<Line>()
    }

    /// The lines of the tile of `rows` rows from `first`: `[columns / 32, rows]`.
    pub(crate) fn tile(&self, first: usize, rows: usize) -> &[Line] {
        let blocks = self.columns / BLOCK;
        &self.lines[..self.rows * blocks][first * blocks..][..rows * blocks]
    }

    /// A view through which threads fill distinct rows.
    pub(crate) fn writer(&mut self) -> ActivationWriter {
        ActivationWriter { rows: self.rows, columns: self.columns, lines: self.lines.as_mut_ptr() }
    }
}

/// A pointer into an [`Activations`] that is being filled, row by row, by several threads.
pub(crate) struct ActivationWriter {
    rows: usize,
    columns: usize,
    lines: *mut Line,
}

// SAFETY: the pointer is only used by `row`, whose callers hand each row to one thread.
unsafe impl Sync for ActivationWriter {}

/// One row of an [`Activations`], to be filled.
pub(crate) struct ActivationRow<'a> {
    first: *mut Line,
    /// Lines from one block to the next.
    stride: usize,
    blocks: usize,
    owner: std::marker::PhantomData<&'a mut Line>,
}

impl ActivationWriter {
    /// # Safety
    /// No two live views of the same row, and the `Activations` outlives them.
    pub(crate) unsafe fn row<'a>(&self, row: usize) -> ActivationRow<'a> {
        assert!(row < self.rows);
        let (first, rows) = tile_at(self.rows, row);
        let blocks = self.columns / BLOCK;
        // SAFETY: a tile's lines lie within the buffer, and the row is in the tile.
        let lines = unsafe { self.lines.add(first * blocks + row - first) };
        ActivationRow { first: lines, stride: rows, blocks, owner: std::marker::PhantomData }
    }
}

impl ActivationRow<'_> {
    /// Sets block `block`.
    #[inline(always)]
    pub(crate) fn set(&mut self, block: usize, line: Line) {
        assert!(block < self.blocks);
        // SAFETY: the row's lines are this view's alone, and there are `blocks` of them, `stride` apart.
        unsafe { self.first.add(block * self.stride).write(line) };
    }

    /// Quantises a whole row.
    #[inline(always)]
    pub(crate) fn quantize(&mut self, values: &[f32]) {
        for (block, values) in values.as_chunks::<BLOCK>().0.iter().enumerate() {
            self.set(block, Line::quantize(values));
        }
    }

    /// Quantises `x · scale · weight`, value by value.
    #[inline(always)]
    pub(crate) fn quantize_scaled(&mut self, x: &[f32], scale: f32, weight: &[f32]) {
        let blocks = x.as_chunks::<BLOCK>().0.iter().zip(weight.as_chunks::<BLOCK>().0);
        for (block, (x, weight)) in blocks.enumerate() {
            let mut scaled = [0.0; BLOCK];
            for k in 0..BLOCK {
                scaled[k] = x[k] * scale * weight[k];
            }
            self.set(block, Line::quantize(&scaled));
        }
    }
}

/// As the methods of the same names, with the widest registers of the tier.
#[inline]
pub(crate) fn quantize(isa: crate::Isa, values: &[f32], row: &mut ActivationRow<'_>) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a tier is only chosen where the machine has it.
        crate::Isa::Avx512Vnni => unsafe { avx512::quantize(values, row) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        crate::Isa::AvxVnni | crate::Isa::Avx2 => unsafe { avx2::quantize(values, row) },
        _ => row.quantize(values),
    }
}

/// See [`quantize`].
#[inline]
pub(crate) fn quantize_scaled(isa: crate::Isa, x: &[f32], scale: f32, weight: &[f32], row: &mut ActivationRow<'_>) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a tier is only chosen where the machine has it.
        crate::Isa::Avx512Vnni => unsafe { avx512::quantize_scaled(x, scale, weight, row) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        crate::Isa::AvxVnni | crate::Isa::Avx2 => unsafe { avx2::quantize_scaled(x, scale, weight, row) },
        _ => row.quantize_scaled(x, scale, weight),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;

    proptest::proptest! {
        #[test]
        fn every_tier_quantises_to_the_same_bits(
            values in proptest::collection::vec(-4.0f32..4.0, 96),
            rows in 1usize..14,
            flat in proptest::bool::ANY,
        ) {
            let values = if flat { vec![0.0; 96] } else { values };
            let weight: Vec<f32> = values.iter().rev().map(|x| x + 1.0).collect();
            let lines = |isa: Isa| {
                let mut x = Activations::default();
                x.resize(rows, 96);
                let writer = x.writer();
                for row in 0..rows {
                    // SAFETY: one view at a time.
                    let target = &mut unsafe { writer.row(row) };
                    match row % 2 {
                        0 => quantize(isa, &values, target),
                        _ => quantize_scaled(isa, &values, 0.3, &weight, target),
                    }
                }
                let bits = |line: &Line| (line.codes, line.scale.to_bits(), line.weighted_sum.to_bits(), line.starts, line.half_starts);
                x.lines.iter().map(bits).collect::<Vec<_>>()
            };
            for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
                proptest::prop_assert_eq!(lines(isa), lines(Isa::Portable));
            }
        }
    }
}
