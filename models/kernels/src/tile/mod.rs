//! The inner product of one panel with a few rows of activations, one file a tier.
//!
//! A tile is up to [`MAX_ROWS`] activation rows times the 16 weight rows of a panel. Tiers differ in speed only: each
//! multiplies the same integer codes and sums blocks in the same order in f32.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

use crate::{
    Activations, Isa,
    format::{BLOCK, Format, PANEL_ROWS},
};

/// The most activation rows of a tile: 12 accumulators and 8 registers of codes fit the 32 of AVX-512.
pub(crate) const MAX_ROWS: usize = 12;

/// A tile's result: `[row][lane]`.
pub(crate) type TileOut = [[f32; PANEL_ROWS]; MAX_ROWS];

/// One panel of a matrix.
#[derive(Clone, Copy)]
pub(crate) struct Panel<'a> {
    pub(crate) format: Format,
    pub(crate) columns: usize,
    pub(crate) bytes: &'a [u8],
}

/// A few consecutive rows of activations.
#[derive(Clone, Copy)]
pub(crate) struct RowTile<'a> {
    pub(crate) columns: usize,
    pub(crate) rows: usize,
    pub(crate) codes: &'a [i8],
    pub(crate) scales: &'a [f32],
    pub(crate) weighted_sums: &'a [f32],
    pub(crate) sums: &'a [i32],
}

impl<'a> RowTile<'a> {
    /// Rows `first..first + rows` of `x`.
    pub(crate) fn new(x: &'a Activations, first: usize, rows: usize) -> Self {
        let (k, blocks) = (x.columns, x.columns / BLOCK);
        Self {
            columns: k,
            rows,
            codes: &x.codes[first * k..][..rows * k],
            scales: &x.scales[first * blocks..][..rows * blocks],
            weighted_sums: &x.weighted_sums[first * blocks..][..rows * blocks],
            sums: &x.sums[first * blocks * 2..][..rows * blocks * 2],
        }
    }
}

/// How many of `left` rows the next tile takes: as many as have a kernel.
pub(crate) fn tile_rows(left: usize) -> usize {
    match left {
        MAX_ROWS.. => MAX_ROWS,
        9..MAX_ROWS => left.div_ceil(2),
        _ => left,
    }
}

/// Computes `out[row][lane] = Σ_k w[lane][k] · x[row][k]` for the tile's rows.
pub(crate) fn multiply(isa: Isa, panel: Panel<'_>, x: RowTile<'_>, out: &mut TileOut) {
    assert!(panel.columns == x.columns && x.rows <= MAX_ROWS);
    assert!(panel.bytes.len() >= panel.format.panel_bytes(panel.columns));
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `Isa` values of a tier are only handed out where the machine has it (`Team::new` checks), and the
        // asserts above are the kernels' bounds.
        Isa::Avx512Vnni => unsafe { avx512::multiply(panel, x, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx2 => unsafe { avx2::multiply(panel, x, out) },
        _ => portable::multiply(panel, x, out),
    }
}

#[cfg(test)]
mod tests;
