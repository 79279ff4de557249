//! The quantised weight formats and how a panel lays them out.
//!
//! A panel holds 16 output rows, one per 32-bit lane of a 512-bit register. Its first region holds the codes of each
//! block of 32 weights, its second the scales:
//!
//! ```text
//! codes of a block, as unsigned integers; "group" g = weights 4g..4g+4 of the 32, byte 4r+i = row r, weight 4g+i
//!   4 bits  4 lines of 64 B: line j = group 2j in the low nibbles, group 2j+1 in the high ones
//!   5 bits  the same, then 1 line: bit g = the fifth bit of group g
//!   6 bits  the same four lines, then 2 lines: line j has groups 4j..4j+4, two bits each, lowest first
//!   8 bits  8 lines, one per group
//! scales
//!   32-weight formats, per block        f16 d × 16 [, f16 m × 16]
//!   Q4_K, Q5_K, per 256 weights         f16 d × 16, f16 dmin × 16, then per block u8 scale × 16, u8 min × 16
//!   Q6_K, per 256 weights               f16 d × 16, then per block two times i8 scale × 16 (16 weights each)
//! ```
//!
//! The formats themselves are ggml's (`ggml-common.h`, `block_q4_0` and so on).

/// Rows of a panel.
pub const PANEL_ROWS: usize = 16;
/// Weights that share a scale in the 32-weight formats, and values that share one in [`crate::Activations`].
pub const BLOCK: usize = 32;
/// Weights of a K-quant super-block.
pub const SUPER_BLOCK: usize = 256;

/// A quantised weight format, with ggml's name.
#[allow(non_camel_case_types)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// 4 bits, w = d·(q − 8).
    Q4_0,
    /// 4 bits, w = d·q + m.
    Q4_1,
    /// 5 bits, w = d·(q − 16).
    Q5_0,
    /// 5 bits, w = d·q + m.
    Q5_1,
    /// 8 bits, w = d·q.
    Q8_0,
    /// 4 bits, w = d·scale·q − dmin·min, scale and min in 6 bits per 32 weights.
    Q4_K,
    /// 5 bits, as Q4_K.
    Q5_K,
    /// 6 bits, w = d·scale·(q − 32), scale in 8 bits per 16 weights.
    Q6_K,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 8] =
        [Self::Q4_0, Self::Q4_1, Self::Q5_0, Self::Q5_1, Self::Q8_0, Self::Q4_K, Self::Q5_K, Self::Q6_K];

    /// Bits of a code.
    pub const fn bits(self) -> usize {
        match self {
            Self::Q4_0 | Self::Q4_1 | Self::Q4_K => 4,
            Self::Q5_0 | Self::Q5_1 | Self::Q5_K => 5,
            Self::Q6_K => 6,
            Self::Q8_0 => 8,
        }
    }

    /// What is subtracted from a code before it is scaled.
    pub const fn offset(self) -> i32 {
        match self {
            Self::Q4_0 => 8,
            Self::Q5_0 => 16,
            Self::Q6_K => 32,
            Self::Q8_0 => 128,
            Self::Q4_1 | Self::Q5_1 | Self::Q4_K | Self::Q5_K => 0,
        }
    }

    /// Whether blocks have a minimum that is added.
    pub const fn has_min(self) -> bool {
        matches!(self, Self::Q4_1 | Self::Q5_1 | Self::Q4_K | Self::Q5_K)
    }

    /// Whether scales come in two levels, per 256 weights.
    pub const fn is_k_quant(self) -> bool {
        matches!(self, Self::Q4_K | Self::Q5_K | Self::Q6_K)
    }

    /// Weights of a block in the file.
    pub const fn file_block(self) -> usize {
        if self.is_k_quant() { SUPER_BLOCK } else { BLOCK }
    }

    /// Bytes of a block in the file.
    pub const fn file_block_bytes(self) -> usize {
        match self {
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q4_K => 144,
            Self::Q5_K => 176,
            Self::Q6_K => 210,
        }
    }

    /// Bytes of one row of `columns` weights in the file.
    pub const fn file_row_bytes(self, columns: usize) -> usize {
        columns / self.file_block() * self.file_block_bytes()
    }

    /// Bytes that a matrix takes when it is packed.
    pub const fn packed_bytes(self, rows: usize, columns: usize) -> usize {
        rows.div_ceil(PANEL_ROWS) * self.panel_bytes(columns)
    }

    /// Bytes of a block's codes in a panel.
    pub(crate) const fn code_bytes(self) -> usize {
        BLOCK * PANEL_ROWS * self.bits() / 8
    }

    /// Bytes of the scales of one file block in a panel.
    pub(crate) const fn scale_bytes(self) -> usize {
        match self {
            Self::Q4_0 | Self::Q5_0 | Self::Q8_0 => 32,
            Self::Q4_1 | Self::Q5_1 => 64,
            Self::Q4_K | Self::Q5_K => 64 + 8 * 32,
            Self::Q6_K => 32 + 8 * 32,
        }
    }

    /// Where a panel's scales begin.
    pub(crate) const fn scales_at(self, columns: usize) -> usize {
        columns / BLOCK * self.code_bytes()
    }

    /// Bytes of a panel, a multiple of 64.
    pub(crate) const fn panel_bytes(self, columns: usize) -> usize {
        (self.scales_at(columns) + columns / self.file_block() * self.scale_bytes()).next_multiple_of(64)
    }
}
