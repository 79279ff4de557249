//! Quantised weights in the device's memory.

use std::ops::Range;

use burn::{
    backend::Cube,
    tensor::{DType, Device, Int, Tensor, TensorData},
};
use burn_cubecl::tensor::CubeTensor;
use synod_kernels::{Format, PackedMatrix, format::PANEL_ROWS};

use super::on_cube;

/// Weights of a block, which share a minimum and one or two scales.
pub(super) const BLOCK: usize = 32;

/// The most bytes of codes that a kernel is given at once: what WebGPU lets every device bind is 128 MiB.
const SLAB_BYTES: usize = 64 << 20;

/// How the weights of a block are coded: w = scale·(code − offset) + min.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Coding {
    /// Bits of a code: 4, 5, 6 or 8.
    pub(super) bits: usize,
    /// What is subtracted from a code.
    pub(super) offset: i32,
    /// Scales of a block, 1 or 2.
    pub(super) scales: usize,
    /// Whether a block has a minimum.
    pub(super) has_min: bool,
}

impl Coding {
    /// Bits of a code above its low nibble.
    pub(super) const fn above(self) -> usize {
        self.bits - 4
    }

    /// How many codes' upper bits a word holds.
    pub(super) const fn codes_above(self) -> usize {
        32 / self.above()
    }

    fn of(format: Format) -> Self {
        let scales = if format == Format::Q6_K { 2 } else { 1 };
        Self { bits: format.bits(), offset: format.offset(), scales, has_min: format.has_min() }
    }
}

/// A weight matrix `[rows, columns]` whose codes keep their bits. Neighbouring threads compute neighbouring outputs, so
/// the outputs come last:
///
/// ```text
/// low     [columns / 32, rows, 4]       u32: the low nibbles of eight codes each, lowest first
/// high    [columns / 32, bits − 4, rows] u32: what is above them, in the same order
/// scales  [columns / 32, 1 or 2, rows]  f32, the two levels of the K-quants multiplied out
/// mins    [columns / 32, rows]          f32, in formats that have them
/// ```
#[derive(Debug)]
pub struct DeviceMatrix {
    rows: usize,
    columns: usize,
    coding: Coding,
    slabs: Vec<Slab>,
}

/// Consecutive rows of a matrix.
#[derive(Debug)]
pub(super) struct Slab {
    pub(super) first: usize,
    pub(super) rows: usize,
    pub(super) low: CubeTensor,
    /// In formats of more than 4 bits.
    pub(super) high: Option<CubeTensor>,
    pub(super) scales: CubeTensor,
    pub(super) mins: Option<CubeTensor>,
}

impl DeviceMatrix {
    /// Copies `matrix` to `device`.
    pub fn upload(matrix: &PackedMatrix, device: &Device) -> Self {
        let (rows, columns, coding) = (matrix.rows(), matrix.columns(), Coding::of(matrix.format()));
        let most = (SLAB_BYTES * 8 / (columns * coding.bits)).max(1);
        let starts = (0..rows).step_by(most);
        let slab = |first: usize| Slab::upload(matrix, coding, first..(first + most).min(rows), device);
        Self { rows, columns, coding, slabs: starts.map(slab).collect() }
    }

    /// Outputs.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Inputs.
    pub fn columns(&self) -> usize {
        self.columns
    }

    pub(super) fn coding(&self) -> Coding {
        self.coding
    }

    pub(super) fn slabs(&self) -> &[Slab] {
        &self.slabs
    }
}

impl Slab {
    fn upload(matrix: &PackedMatrix, coding: Coding, range: Range<usize>, device: &Device) -> Self {
        let (rows, blocks) = (range.len(), matrix.columns() / BLOCK);
        let mut low = vec![0u32; blocks * rows * 4];
        let mut high = vec![0u32; blocks * rows * coding.above()];
        let mut scales = vec![0f32; blocks * rows * coding.scales];
        let mut mins = vec![0f32; if coding.has_min { blocks * rows } else { 0 }];
        // Panels hold 16 rows: all their blocks are read before the next one's.
        for panel in range.clone().step_by(PANEL_ROWS) {
            let sources = panel..(panel + PANEL_ROWS).min(range.end);
            for (block, source) in (0..blocks).flat_map(|block| sources.clone().map(move |row| (block, row))) {
                let (weights, row) = (matrix.block(source, block), source - range.start);
                let at = |part: usize, parts: usize| (block * parts + part) * rows + row;
                for (k, code) in weights.codes.into_iter().map(u32::from).enumerate() {
                    low[(block * rows + row) * 4 + k / 8] |= (code & 15) << (k % 8 * 4);
                    if coding.above() > 0 {
                        let each = coding.codes_above();
                        high[at(k / each, coding.above())] |= (code >> 4) << (k % each * coding.above());
                    }
                }
                for (index, &scale) in weights.scales[..coding.scales].iter().enumerate() {
                    scales[at(index, coding.scales)] = scale;
                }
                if coding.has_min {
                    mins[at(0, 1)] = weights.min;
                }
            }
        }
        Self {
            first: range.start,
            rows,
            low: words(low, device),
            high: (coding.above() > 0).then(|| words(high, device)),
            scales: floats(scales, device),
            mins: coding.has_min.then(|| floats(mins, device)),
        }
    }
}

fn words(values: Vec<u32>, device: &Device) -> CubeTensor {
    let length = values.len();
    let tensor = Tensor::<1, Int>::from_data(TensorData::new(values, [length]), (device, DType::U32));
    on_cube(tensor.try_into_primitive::<Cube>())
}

fn floats(values: Vec<f32>, device: &Device) -> CubeTensor {
    let length = values.len();
    let tensor = Tensor::<1>::from_data(TensorData::new(values, [length]), device);
    on_cube(tensor.try_into_primitive::<Cube>())
}
