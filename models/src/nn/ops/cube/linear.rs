//! Products with quantised weights.

use burn_cubecl::{
    cubecl::{self, prelude::*},
    tensor::CubeTensor,
};

use super::{
    Matrix, arg,
    matrix::{BLOCK, Coding},
    vector,
};
use crate::nn::PackedLinear;

/// Threads of a cube along the outputs.
const LANES: usize = 32;
/// Threads of a cube that share a sum: each takes every so manieth block of weights.
const SHARES: usize = 8;
/// Outputs of a thread, `LANES` apart: each activation is read once for all of them.
const OUTPUTS: usize = 4;
/// The most rows of a cube: each weight is unpacked once for all of them.
const TILE: usize = 8;

/// What a kernel is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Variant {
    coding: Coding,
    /// Rows of a cube.
    tile: usize,
    bias: bool,
    residual: bool,
}

/// `out[.., column..column + outputs] = residual + x·Wᵀ + b`; the residual has the width of `out`.
pub(super) fn linear(x: &Matrix, to: &PackedLinear, residual: Option<&Matrix>, out: &Matrix, column: usize) {
    if x.rows == 0 {
        return;
    }
    let matrix = to.weight.on_device();
    let bias = to.bias.as_ref().map(vector);
    let tile = if x.rows == 1 { 1 } else { TILE };
    let variant = Variant { coding: matrix.coding(), tile, bias: bias.is_some(), residual: residual.is_some() };
    for slab in matrix.slabs() {
        // What a variant does not read is any buffer.
        let or_any = |buffer: Option<&CubeTensor>| arg(buffer.unwrap_or(&slab.scales));
        let cubes = CubeCount::Static(slab.rows.div_ceil(LANES * OUTPUTS) as u32, x.rows.div_ceil(tile) as u32, 1);
        linear_kernel::launch(
            x.client(),
            cubes,
            CubeDim::new_2d(LANES as u32, SHARES as u32),
            x.arg(),
            arg(&slab.low),
            slab.high.as_ref().map_or_else(|| arg(&slab.low), arg),
            arg(&slab.scales),
            or_any(slab.mins.as_ref()),
            or_any(bias.as_ref()),
            or_any(residual.map(|residual| &residual.tensor)),
            out.arg(),
            x.rows,
            x.width,
            slab.rows,
            slab.first,
            column,
            out.width,
            variant,
        );
    }
}

/// A thread sums its share of `OUTPUTS` outputs of `tile` rows; see `DeviceMatrix` for the layout of the weights.
#[cube(launch)]
fn linear_kernel(
    x: &[Vector<f32, Const<4>>],
    low: &[Vector<u32, Const<4>>],
    high: &[u32],
    scales: &[f32],
    mins: &[f32],
    bias: &[f32],
    residual: &[f32],
    out: &mut [f32],
    rows: usize,
    columns: usize,
    outputs: usize,
    first_output: usize,
    column: usize,
    width: usize,
    #[comptime] variant: Variant,
) {
    let tile = comptime!(variant.tile);
    let (lane, share) = (UNIT_POS_X as usize, UNIT_POS_Y as usize);
    let first = CUBE_POS_X as usize * comptime!(LANES * OUTPUTS) + lane;
    let first_row = CUBE_POS_Y as usize * tile;

    // Threads past the end compute what nobody writes: all of a cube must reach the barriers.
    let mut places = Array::<usize>::new(OUTPUTS);
    #[unroll]
    for output in 0..OUTPUTS {
        places[output] = clamp_max(first + output * LANES, outputs - 1);
    }
    let mut starts = Array::<usize>::new(tile);
    #[unroll]
    for row in 0..tile {
        starts[row] = clamp_max(first_row + row, rows - 1) * (columns / 4);
    }
    let mut sums = Array::<f32>::new(comptime!(tile * OUTPUTS));
    #[unroll]
    for sum in 0..comptime!(tile * OUTPUTS) {
        sums[sum] = 0.0f32;
    }
    let mut block = share;
    while block < columns / BLOCK {
        add_block(x, low, high, scales, mins, &starts, &places, &mut sums, block, outputs, variant);
        block += SHARES;
    }

    let mut shared = Shared::<[f32]>::new_slice(comptime!(variant.tile * SHARES * LANES));
    #[unroll]
    for index in 0..OUTPUTS {
        #[unroll]
        for row in 0..tile {
            shared[(row * SHARES + share) * LANES + lane] = sums[row * OUTPUTS + index];
        }
        sync_cube();
        // There are as many shares as rows: share r writes row r.
        let (row, output) = (first_row + share, first + index * LANES);
        if share < tile && row < rows && output < outputs {
            let mut sum = 0.0f32;
            for other in 0..SHARES {
                sum += shared[(share * SHARES + other) * LANES + lane];
            }
            if comptime!(variant.bias) {
                sum += bias[first_output + output];
            }
            let at = row * width + column + first_output + output;
            if comptime!(variant.residual) {
                sum += residual[at];
            }
            out[at] = sum;
        }
        sync_cube(); // all have read the sums
    }
}

/// Adds the products of one block of weights to the sums `[tile, OUTPUTS]`.
#[cube]
fn add_block(
    x: &[Vector<f32, Const<4>>],
    low: &[Vector<u32, Const<4>>],
    high: &[u32],
    scales: &[f32],
    mins: &[f32],
    starts: &Array<usize>,
    places: &Array<usize>,
    sums: &mut Array<f32>,
    block: usize,
    outputs: usize,
    #[comptime] variant: Variant,
) {
    let coding = comptime!(variant.coding);
    let mut nibbles = Array::<Vector<u32, Const<4>>>::new(OUTPUTS);
    let mut min = Array::<f32>::new(OUTPUTS);
    #[unroll]
    for output in 0..OUTPUTS {
        let at = block * outputs + places[output];
        nibbles[output] = low[at];
        min[output] = 0.0f32;
        if comptime!(coding.has_min) {
            min[output] = mins[at];
        }
    }
    let mut scale = Array::<f32>::new(OUTPUTS);
    let mut above = Array::<u32>::new(OUTPUTS);
    #[unroll]
    for four in 0..8usize {
        let first = comptime!(four * 4);
        let mut weights = Array::<f32>::new(comptime!(OUTPUTS * 4));
        #[unroll]
        for output in 0..OUTPUTS {
            let place = places[output];
            if comptime!(first % (BLOCK / coding.scales) == 0) {
                let index = comptime!(first * coding.scales / BLOCK);
                scale[output] = scales[(block * comptime!(coding.scales) + index) * outputs + place];
            }
            if comptime!(coding.above() > 0 && first % coding.codes_above() == 0) {
                let index = comptime!(first / coding.codes_above());
                above[output] = high[(block * comptime!(coding.above()) + index) * outputs + place];
            }
            let word = nibbles[output].extract(comptime!(four / 2));
            #[unroll]
            for i in 0..4usize {
                let mut code = (word >> comptime!((first % 8 + i) as u32 * 4)) & 15u32;
                if comptime!(coding.above() > 0) {
                    let shift = comptime!(((first + i) % coding.codes_above() * coding.above()) as u32);
                    code |= ((above[output] >> shift) & comptime!((1u32 << coding.above()) - 1)) << 4u32;
                }
                let steps = f32::cast_from(code) - comptime!(coding.offset as f32);
                weights[output * 4 + i] = scale[output] * steps + min[output];
            }
        }
        #[unroll]
        for row in 0..comptime!(variant.tile) {
            let values = x[starts[row] + block * comptime!(BLOCK / 4) + four];
            #[unroll]
            for output in 0..OUTPUTS {
                #[unroll]
                for i in 0..4usize {
                    sums[row * OUTPUTS + output] += weights[output * 4 + i] * values.extract(i);
                }
            }
        }
    }
}
