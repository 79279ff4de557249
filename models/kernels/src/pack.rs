//! Weights from the file's rows of blocks into panels.

use half::f16;

use crate::{
    arena::{Arena, Piece},
    format::{BLOCK, Format, PANEL_ROWS},
    tile::Panel,
};

/// Why a matrix cannot be packed.
#[derive(Debug)]
pub enum PackError {
    /// The row length is not a multiple of the format's block.
    Columns {
        /// Weights of a row.
        columns: usize,
        /// What it must divide by.
        block: usize,
    },
    /// There are more or fewer bytes than rows and columns say.
    Bytes {
        /// What was given.
        found: usize,
        /// What the shape needs.
        expected: usize,
    },
    /// No memory for the panels.
    Memory(std::io::Error),
}

impl std::fmt::Display for PackError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Columns { columns, block } => {
                write!(f, "rows of {columns} weights do not divide into blocks of {block}")
            }
            Self::Bytes { found, expected } => write!(f, "{found} bytes where the shape needs {expected}"),
            Self::Memory(_) => write!(f, "no memory for packed weights"),
        }
    }
}

impl std::error::Error for PackError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        if let Self::Memory(error) = self { Some(error) } else { None }
    }
}

/// A weight matrix `[rows, columns]` in panels; see [`crate::format`] for the layout.
pub struct PackedMatrix {
    format: Format,
    rows: usize,
    columns: usize,
    panels: Piece,
}

impl std::fmt::Debug for PackedMatrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PackedMatrix({:?} [{}, {}])", self.format, self.rows, self.columns)
    }
}

impl PackedMatrix {
    /// Packs rows as they lie in the file, one after the other.
    pub fn pack(format: Format, rows: usize, columns: usize, data: &[u8]) -> Result<Self, PackError> {
        let mut packer = Packer::new(&Arena::default(), format, rows, columns)?;
        let expected = rows * format.file_row_bytes(columns);
        if data.len() != expected {
            return Err(PackError::Bytes { found: data.len(), expected });
        }
        packer.pack_all(data, |_| {});
        Ok(packer.finish())
    }

    /// The weights' format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Outputs.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Inputs.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.panels.len()
    }

    pub(crate) fn panels(&self) -> usize {
        self.rows.div_ceil(PANEL_ROWS)
    }

    /// One panel.
    pub(crate) fn panel(&self, index: usize) -> Panel<'_> {
        let size = self.format.panel_bytes(self.columns);
        Panel { format: self.format, columns: self.columns, bytes: &self.panels[index * size..][..size] }
    }

    /// Weights `32·block..32·(block + 1)` of a row, for those who lay them out in another way.
    pub fn block(&self, row: usize, block: usize) -> Block {
        let (panel, lane) = (self.panel(row / PANEL_ROWS), row % PANEL_ROWS);
        let view = BlockView { format: self.format, columns: self.columns, panel: panel.bytes, block };
        let ((first, min), (second, _)) = (view.scale(lane, 0), view.scale(lane, BLOCK / 2));
        Block { codes: std::array::from_fn(|k| view.code(lane, k)), scales: [first, second], min }
    }

    /// Dequantises one row into `out` (`columns` long): an embedding look-up on a tied output head.
    pub fn row(&self, index: usize, out: &mut [f32]) {
        let (panel, lane) = (self.panel(index / PANEL_ROWS), index % PANEL_ROWS);
        for (block, values) in out[..self.columns].chunks_exact_mut(BLOCK).enumerate() {
            let view = BlockView { format: self.format, columns: self.columns, panel: panel.bytes, block };
            for (k, value) in values.iter_mut().enumerate() {
                let (scale, min) = view.scale(lane, k);
                *value = scale * (i32::from(view.code(lane, k)) - self.format.offset()) as f32 + min;
            }
        }
    }
}

/// 32 weights of a row: w = scale·(code − offset) + min, with the format's offset.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Block {
    /// Unsigned integers of the format's bits.
    pub codes: [u8; BLOCK],
    /// Of the first 16 weights and of the other 16; only Q6_K's differ.
    pub scales: [f32; 2],
    /// 0 in formats without minima.
    pub min: f32,
}

/// Reads single weights of a block: the slow, plain way, for look-ups, other layouts and the portable kernel.
#[derive(Clone, Copy)]
pub(crate) struct BlockView<'a> {
    pub(crate) format: Format,
    pub(crate) columns: usize,
    pub(crate) panel: &'a [u8],
    pub(crate) block: usize,
}

impl BlockView<'_> {
    /// The code of weight `k` of the block in row `lane`.
    pub(crate) fn code(&self, lane: usize, k: usize) -> u8 {
        let codes = &self.panel[self.block * self.format.code_bytes()..][..self.format.code_bytes()];
        let (group, byte) = (k / 4, lane * 4 + k % 4);
        if self.format.bits() == 8 {
            return codes[group * 64 + byte];
        }
        let nibble = codes[group / 2 * 64 + byte] >> (group % 2 * 4) & 15;
        match self.format.bits() {
            5 => nibble | (codes[256 + byte] >> group & 1) << 4,
            6 => nibble | (codes[256 + group / 4 * 64 + byte] >> (group % 4 * 2) & 3) << 4,
            _ => nibble,
        }
    }

    /// Scale and minimum of weight `k` of the block in row `lane`.
    pub(crate) fn scale(&self, lane: usize, k: usize) -> (f32, f32) {
        let per_file_block = self.format.file_block() / BLOCK;
        let at = self.format.scales_at(self.columns) + self.block / per_file_block * self.format.scale_bytes();
        let scales = &self.panel[at..][..self.format.scale_bytes()];
        let half_at = |at: usize| f16::from_le_bytes([scales[at], scales[at + 1]]).to_f32();
        let d = half_at(lane * 2);
        let sub = self.block % per_file_block * 32;
        match self.format {
            Format::Q4_0 | Format::Q5_0 | Format::Q8_0 => (d, 0.0),
            Format::Q4_1 | Format::Q5_1 => (d, half_at(32 + lane * 2)),
            Format::Q4_K | Format::Q5_K => {
                let (scale, min) = (scales[64 + sub + lane], scales[64 + sub + 16 + lane]);
                (d * f32::from(scale), -(half_at(32 + lane * 2) * f32::from(min)))
            }
            Format::Q6_K => (d * f32::from(scales[32 + sub + k / 16 * 16 + lane] as i8), 0.0),
        }
    }
}

/// Fills a matrix panel by panel, so that the caller can let go of the file's pages as they are read.
pub struct Packer {
    matrix: PackedMatrix,
}

impl Packer {
    /// Room in `arena` for a matrix `[rows, columns]`.
    pub fn new(arena: &Arena, format: Format, rows: usize, columns: usize) -> Result<Self, PackError> {
        if columns == 0 || !columns.is_multiple_of(format.file_block()) {
            return Err(PackError::Columns { columns, block: format.file_block() });
        }
        let bytes = rows.div_ceil(PANEL_ROWS) * format.panel_bytes(columns);
        let panels = arena.piece(bytes).map_err(PackError::Memory)?;
        Ok(Self { matrix: PackedMatrix { format, rows, columns, panels } })
    }

    /// Packs every panel from `data` (the whole tensor), two threads at a time, calling `done` with how many bytes of the
    /// tensor are behind us.
    pub fn pack_all(&mut self, data: &[u8], mut done: impl FnMut(usize)) {
        const BATCH: usize = 128;
        let PackedMatrix { format, columns, rows, ref mut panels } = self.matrix;
        let (size, row) = (format.panel_bytes(columns), format.file_row_bytes(columns));
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8);
        for (batch, panels) in panels[..rows.div_ceil(PANEL_ROWS) * size].chunks_mut(BATCH * size).enumerate() {
            let share = panels.len().div_ceil(size).div_ceil(threads);
            std::thread::scope(|scope| {
                for (part, panels) in panels.chunks_mut(share * size).enumerate() {
                    scope.spawn(move || {
                        for (i, panel) in panels.chunks_mut(size).enumerate() {
                            let first = (batch * BATCH + part * share + i) * PANEL_ROWS;
                            let source = first * row..(first + PANEL_ROWS).min(rows) * row;
                            fill_panel(format, columns, &data[source], panel);
                        }
                    });
                }
            });
            done(((batch + 1) * BATCH * PANEL_ROWS).min(rows) * row);
        }
    }

    /// The packed matrix.
    pub fn finish(self) -> PackedMatrix {
        self.matrix
    }
}

fn fill_panel(format: Format, columns: usize, rows: &[u8], panel: &mut [u8]) {
    // Padding rows keep code 0; their scale is 0, so they compute to 0.
    let per_file_block = format.file_block() / BLOCK;
    for (lane, row) in rows.chunks_exact(format.file_row_bytes(columns)).enumerate() {
        for (index, source) in row.chunks_exact(format.file_block_bytes()).enumerate() {
            let at = format.scales_at(columns) + index * format.scale_bytes();
            put_scales(format, lane, source, &mut panel[at..][..format.scale_bytes()]);
            for sub in 0..per_file_block {
                let at = (index * per_file_block + sub) * format.code_bytes();
                let codes = read_codes(format, source, sub);
                put_codes(format, lane, &codes, &mut panel[at..][..format.code_bytes()]);
            }
        }
    }
}

/// The 32 codes of sub-block `sub` of a file block, as unsigned integers.
fn read_codes(format: Format, source: &[u8], sub: usize) -> [u8; BLOCK] {
    match format {
        Format::Q4_0 => std::array::from_fn(|k| nibble(&source[2..], k)),
        Format::Q4_1 => std::array::from_fn(|k| nibble(&source[4..], k)),
        Format::Q5_0 => std::array::from_fn(|k| nibble(&source[6..], k) | (source[2 + k / 8] >> (k % 8) & 1) << 4),
        Format::Q5_1 => std::array::from_fn(|k| nibble(&source[8..], k) | (source[4 + k / 8] >> (k % 8) & 1) << 4),
        Format::Q8_0 => std::array::from_fn(|k| source[2 + k].wrapping_add(128)),
        Format::Q4_K => std::array::from_fn(|k| source[16 + sub / 2 * 32 + k] >> (sub % 2 * 4) & 15),
        Format::Q5_K => std::array::from_fn(|k| {
            (source[48 + sub / 2 * 32 + k] >> (sub % 2 * 4) & 15) | (source[16 + k] >> sub & 1) << 4
        }),
        Format::Q6_K => std::array::from_fn(|k| {
            // Halves of 128 weights: 64 bytes of low nibbles, 32 bytes of high bit pairs.
            let (half, quarter) = (sub / 4, sub % 4);
            let low = source[half * 64 + quarter % 2 * 32 + k] >> (quarter / 2 * 4) & 15;
            low | (source[128 + half * 32 + k] >> (quarter * 2) & 3) << 4
        }),
    }
}

fn nibble(bytes: &[u8], k: usize) -> u8 {
    if k < 16 { bytes[k] & 15 } else { bytes[k - 16] >> 4 }
}

fn put_codes(format: Format, lane: usize, values: &[u8; BLOCK], codes: &mut [u8]) {
    for (k, &value) in values.iter().enumerate() {
        let (group, byte) = (k / 4, lane * 4 + k % 4);
        if format.bits() == 8 {
            codes[group * 64 + byte] = value;
            continue;
        }
        codes[group / 2 * 64 + byte] |= (value & 15) << (group % 2 * 4);
        match format.bits() {
            5 => codes[256 + byte] |= (value >> 4) << group,
            6 => codes[256 + group / 4 * 64 + byte] |= (value >> 4) << (group % 4 * 2),
            _ => {}
        }
    }
}

fn put_scales(format: Format, lane: usize, source: &[u8], scales: &mut [u8]) {
    let mut put_half = |at: usize, from: usize| scales[at + lane * 2..][..2].copy_from_slice(&source[from..][..2]);
    match format {
        Format::Q4_0 | Format::Q5_0 | Format::Q8_0 => put_half(0, 0),
        Format::Q4_1 | Format::Q5_1 => {
            put_half(0, 0);
            put_half(32, 2);
        }
        Format::Q4_K | Format::Q5_K => {
            put_half(0, 0);
            put_half(32, 2);
            for sub in 0..8 {
                let (scale, min) = six_bit_pair(&source[4..16], sub);
                scales[64 + sub * 32 + lane] = scale;
                scales[64 + sub * 32 + 16 + lane] = min;
            }
        }
        Format::Q6_K => {
            put_half(0, 208);
            for sub in 0..8 {
                scales[32 + sub * 32 + lane] = source[192 + sub * 2];
                scales[32 + sub * 32 + 16 + lane] = source[192 + sub * 2 + 1];
            }
        }
    }
}

/// Scale and minimum of sub-block `sub` out of the 12 bytes that hold eight of each in 6 bits (ggml's `get_scale_min_k4`).
fn six_bit_pair(packed: &[u8], sub: usize) -> (u8, u8) {
    if sub < 4 {
        (packed[sub] & 63, packed[sub + 4] & 63)
    } else {
        let high = packed[sub + 4];
        (high & 15 | packed[sub - 4] >> 6 << 4, high >> 4 | packed[sub] >> 6 << 4)
    }
}
