//! A layer's input as int8: quantised once, used by every matrix that reads it.

use crate::format::BLOCK;

/// Rows of activations, int8 with one f32 scale per 32 values: `x ≈ scale · q`, q from −127 to 127, rounded to nearest
/// even. Finer than ggml's Q8_0 (an f16 scale) and Q8_K (a scale per 256).
#[derive(Debug, Default)]
pub struct Activations {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// `[rows, columns]`.
    pub(crate) codes: Vec<i8>,
    /// `[rows, columns / 32]`.
    pub(crate) scales: Vec<f32>,
    /// `[rows, columns / 32]`: scale · Σq, which a block's minimum is multiplied by.
    pub(crate) weighted_sums: Vec<f32>,
    /// `[rows, columns / 16]`: Σq, which a code's offset is multiplied by.
    pub(crate) sums: Vec<i32>,
}

impl Activations {
    /// Room for `[rows, columns]`; `columns` a multiple of 32. Keeps its memory from step to step.
    pub fn resize(&mut self, rows: usize, columns: usize) {
        assert!(columns.is_multiple_of(BLOCK), "activations come in blocks of {BLOCK}");
        (self.rows, self.columns) = (rows, columns);
        self.codes.resize(rows * columns, 0);
        self.scales.resize(rows * columns / BLOCK, 0.0);
        self.weighted_sums.resize(rows * columns / BLOCK, 0.0);
        self.sums.resize(rows * columns / 16, 0);
    }

    /// Rows held.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Values of a row.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// A view through which threads fill distinct rows.
    pub(crate) fn writer(&mut self) -> ActivationWriter {
        ActivationWriter {
            rows: self.rows,
            columns: self.columns,
            codes: self.codes.as_mut_ptr(),
            scales: self.scales.as_mut_ptr(),
            weighted_sums: self.weighted_sums.as_mut_ptr(),
            sums: self.sums.as_mut_ptr(),
        }
    }
}

/// Pointers into an [`Activations`] that is being filled, row by row, by several threads.
pub(crate) struct ActivationWriter {
    rows: usize,
    columns: usize,
    codes: *mut i8,
    scales: *mut f32,
    weighted_sums: *mut f32,
    sums: *mut i32,
}

// SAFETY: the pointers are only used by `row`, whose callers hand each row to one thread.
unsafe impl Sync for ActivationWriter {}

/// One row of an [`Activations`], to be filled.
pub(crate) struct ActivationRow<'a> {
    codes: &'a mut [i8],
    scales: &'a mut [f32],
    weighted_sums: &'a mut [f32],
    sums: &'a mut [i32],
}

impl ActivationWriter {
    /// # Safety
    /// No two live views of the same row, and the `Activations` outlives them.
    pub(crate) unsafe fn row<'a>(&self, row: usize) -> ActivationRow<'a> {
        assert!(row < self.rows);
        let (k, blocks) = (self.columns, self.columns / BLOCK);
        // SAFETY: `row < rows`, and the buffers hold `rows` times these lengths; exclusive by this function's contract.
        unsafe {
            ActivationRow {
                codes: std::slice::from_raw_parts_mut(self.codes.add(row * k), k),
                scales: std::slice::from_raw_parts_mut(self.scales.add(row * blocks), blocks),
                weighted_sums: std::slice::from_raw_parts_mut(self.weighted_sums.add(row * blocks), blocks),
                sums: std::slice::from_raw_parts_mut(self.sums.add(row * blocks * 2), blocks * 2),
            }
        }
    }
}

impl ActivationRow<'_> {
    /// Quantises block `block` from its 32 values.
    #[inline(always)]
    pub(crate) fn quantize_block(&mut self, block: usize, values: &[f32; BLOCK]) {
        let mut lanes = [0f32; 16];
        for k in 0..16 {
            lanes[k] = values[k].abs().max(values[k + 16].abs());
        }
        let largest = lanes.iter().fold(0f32, |a, &b| a.max(b));
        let scale = largest / 127.0;
        let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
        let codes = &mut self.codes[block * BLOCK..][..BLOCK];
        let mut sums = [0i32; 2];
        for half in 0..2 {
            let mut sum = [0i32; 16];
            for k in 0..16 {
                let q = round(values[half * 16 + k] * inverse);
                codes[half * 16 + k] = q as i8;
                sum[k] = q;
            }
            sums[half] = sum.iter().sum();
        }
        self.scales[block] = scale;
        self.weighted_sums[block] = scale * (sums[0] + sums[1]) as f32;
        self.sums[block * 2] = sums[0];
        self.sums[block * 2 + 1] = sums[1];
    }

    /// Quantises a whole row.
    #[inline(always)]
    pub(crate) fn quantize(&mut self, values: &[f32]) {
        for (block, values) in values.as_chunks::<BLOCK>().0.iter().enumerate() {
            self.quantize_block(block, values);
        }
    }
}

/// Nearest integer, ties to even, for |x| < 2^22: adding 1.5·2^23 leaves the rounded integer in the low mantissa bits.
#[inline(always)]
fn round(x: f32) -> i32 {
    const MAGIC: f32 = 12_582_912.0;
    (x + MAGIC).to_bits() as i32 - MAGIC.to_bits() as i32
}
