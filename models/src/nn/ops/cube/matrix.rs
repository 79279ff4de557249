//! Quantised weights in the device's memory.

use burn::{
    backend::Cube,
    tensor::{DType, Device, Int, Tensor, TensorData},
};
use burn_cubecl::tensor::CubeTensor;
use synod_kernels::{Format, PackedMatrix};

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
    fn of(format: Format) -> Self {
        let scales = if format == Format::Q6_K { 2 } else { 1 };
        Self { bits: format.bits(), offset: format.offset(), scales, has_min: format.has_min() }
    }
}

/// A weight matrix `[rows, columns]` whose codes keep their bits. Neighbouring threads compute neighbouring outputs, so
/// the outputs come last:
///
/// ```text
/// words   [columns / 32, bits, rows]    u32: four words of the codes' low nibbles, eight weights each, lowest first; then
///                                       what is above them, bits − 4 of each weight, in the same order
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
    pub(super) words: CubeTensor,
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
    fn upload(matrix: &PackedMatrix, coding: Coding, range: std::ops::Range<usize>, device: &Device) -> Self {
        let (rows, blocks) = (range.len(), matrix.columns() / BLOCK);
        let mut words = vec![0u32; blocks * coding.bits * rows];
        let mut scales = vec![0f32; blocks * coding.scales * rows];
        let mut mins = vec![0f32; if coding.has_min { blocks * rows } else { 0 }];
        for (row, source) in range.clone().enumerate() {
            for block in 0..blocks {
                let weights = matrix.block(source, block);
                for (word, value) in to_words(&weights.codes, coding.bits).into_iter().take(coding.bits).enumerate() {
                    words[(block * coding.bits + word) * rows + row] = value;
                }
                for (index, &scale) in weights.scales[..coding.scales].iter().enumerate() {
                    scales[(block * coding.scales + index) * rows + row] = scale;
                }
                if coding.has_min {
                    mins[block * rows + row] = weights.min;
                }
            }
        }
        let floats = |values: Vec<f32>| {
            let length = values.len();
            on_cube(Tensor::<1>::from_data(TensorData::new(values, [length]), device).try_into_primitive::<Cube>())
        };
        let length = words.len();
        let words = Tensor::<1, Int>::from_data(TensorData::new(words, [length]), (device, DType::U32));
        let words = on_cube(words.try_into_primitive::<Cube>());
        let (scales, mins) = (floats(scales), coding.has_min.then(|| floats(mins)));
        Self { first: range.start, rows, words, scales, mins }
    }
}

/// A block's codes in `bits` words.
fn to_words(codes: &[u8; BLOCK], bits: usize) -> [u32; 8] {
    let mut words = [0; 8];
    let high = bits - 4;
    for (k, &code) in codes.iter().enumerate() {
        let code = u32::from(code);
        words[k / 8] |= (code & 15) << (k % 8 * 4);
        if high > 0 {
            let each = BLOCK / high;
            words[4 + k / each] |= (code >> 4) << (k % each * high);
        }
    }
    words
}
