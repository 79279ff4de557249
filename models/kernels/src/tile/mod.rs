//! The inner product of one panel with a few rows of activations, one file a tier.
//!
//! A tile is up to [`MAX_ROWS`] activation rows times the 16 weight rows of a panel. Tiers differ in speed only: each
//! multiplies the same integer codes and sums blocks in the same order in f32.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

use crate::{
    Activations, Isa,
    activations::Line,
    format::{BLOCK, Format, PANEL_ROWS},
};

/// The most activation rows of a tile: 12 accumulators and 8 registers of codes fit the 32 of AVX-512. With 16 they would
/// just so, and compilers spill some: half of the formats were slower.
pub(crate) const MAX_ROWS: usize = 12;

/// Calls `$kernel` compiled for the format.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! by_format {
    ($format:expr, $kernel:ident($($arg:expr),*)) => {
        match $format {
            Format::Q4_0 => $kernel::<{ Format::Q4_0 as u8 }>($($arg),*),
            Format::Q4_1 => $kernel::<{ Format::Q4_1 as u8 }>($($arg),*),
            Format::Q5_0 => $kernel::<{ Format::Q5_0 as u8 }>($($arg),*),
            Format::Q5_1 => $kernel::<{ Format::Q5_1 as u8 }>($($arg),*),
            Format::Q8_0 => $kernel::<{ Format::Q8_0 as u8 }>($($arg),*),
            Format::Q4_K => $kernel::<{ Format::Q4_K as u8 }>($($arg),*),
            Format::Q5_K => $kernel::<{ Format::Q5_K as u8 }>($($arg),*),
            Format::Q6_K => $kernel::<{ Format::Q6_K as u8 }>($($arg),*),
        }
    };
}
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use by_format;

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
    /// `[columns / 32, rows]`.
    pub(crate) lines: &'a [Line],
}

impl<'a> RowTile<'a> {
    /// The tile of `rows` rows from `first`.
    pub(crate) fn new(x: &'a Activations, first: usize, rows: usize) -> Self {
        Self { columns: x.columns(), rows, lines: x.tile(first, rows) }
    }
}

/// A block of a panel whose codes are bytes and whose scales are f32.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Unpacked {
    /// `[group of four weights]`, byte 4r + i = row r, weight i.
    codes: [[u8; 64]; 8],
    scales: [f32; PANEL_ROWS],
    /// Minima, or the scales of the second half (Q6_K).
    seconds: [f32; PANEL_ROWS],
}

impl Unpacked {
    /// Nothing yet.
    pub(crate) const EMPTY: Self = Self { codes: [[0; 64]; 8], scales: [0.0; 16], seconds: [0.0; 16] };
}

/// The tile of `row` among `rows` rows, all but the last of which are full: its first row, and how many it has.
pub(crate) fn tile_at(rows: usize, row: usize) -> (usize, usize) {
    let first = row / MAX_ROWS * MAX_ROWS;
    (first, (rows - first).min(MAX_ROWS))
}

/// Computes `out[row][lane] = Σ_k w[lane][k] · x[row][k]` for the tile's rows.
pub(crate) fn multiply(isa: Isa, panel: Panel<'_>, x: RowTile<'_>, out: &mut TileOut) {
    assert!(panel.columns == x.columns && x.rows <= MAX_ROWS && x.lines.len() == x.columns / BLOCK * x.rows);
    assert!(panel.bytes.len() >= panel.format.panel_bytes(panel.columns));
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `Isa` values of a tier are only handed out where the machine has it (`Team::new` checks), and the
        // asserts above are the kernels' bounds.
        Isa::Avx512Vnni => unsafe { avx512::multiply(panel, x, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::AvxVnni => unsafe { avx2::vex::multiply(panel, x, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx2 => unsafe { avx2::maddubs::multiply(panel, x, out) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        Isa::Neon => unsafe { neon::multiply(panel, x, out) },
        _ => portable::multiply(panel, x, out),
    }
}

/// Whether a panel is better unpacked once than by each of many tiles: codes of 8 bits are as good as unpacked, and so are
/// those of 4 where registers are wide and tiles take all their rows at once.
pub(crate) fn unpacking_pays(isa: Isa, format: Format) -> bool {
    match format {
        Format::Q8_0 => false,
        Format::Q4_0 | Format::Q4_1 => isa != Isa::Avx512Vnni,
        _ => true,
    }
}

/// Unpacks a panel into `to`, a block an entry, if the tier gains by it when many tiles pass over the panel.
pub(crate) fn unpack(isa: Isa, panel: Panel<'_>, to: &mut [Unpacked]) -> bool {
    assert!(panel.bytes.len() >= panel.format.panel_bytes(panel.columns) && to.len() == panel.columns / BLOCK);
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512Vnni => {
            // SAFETY: as in `multiply`.
            unsafe { avx512::unpack(panel, to) };
            true
        }
        #[cfg(target_arch = "x86_64")]
        Isa::AvxVnni | Isa::Avx2 => {
            // SAFETY: as in `multiply`.
            unsafe { avx2::unpack(panel, to) };
            true
        }
        _ => false,
    }
}

/// As [`multiply`], with a panel that was unpacked; the tile has [`MAX_ROWS`] rows.
pub(crate) fn multiply_unpacked(isa: Isa, panel: Panel<'_>, unpacked: &[Unpacked], x: RowTile<'_>, out: &mut TileOut) {
    assert!(panel.columns == x.columns && x.rows == MAX_ROWS && x.lines.len() == x.columns / BLOCK * x.rows);
    assert!(unpacked.len() == panel.columns / BLOCK);
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as in `multiply`.
        Isa::Avx512Vnni => unsafe { avx512::multiply_unpacked(panel, unpacked, x, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as in `multiply`.
        Isa::AvxVnni => unsafe { avx2::vex::multiply_unpacked(panel, unpacked, x, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as in `multiply`.
        Isa::Avx2 => unsafe { avx2::maddubs::multiply_unpacked(panel, unpacked, x, out) },
        _ => multiply(isa, panel, x, out),
    }
}

#[cfg(test)]
mod tests;
