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
        let cubes = CubeCount::Static(slab.rows.div_ceil(LANES) as u32, x.rows.div_ceil(tile) as u32, 1);
        linear_kernel::launch(
            x.client(),
            cubes,
            CubeDim::new_2d(LANES as u32, SHARES as u32),
            x.arg(),
            arg(&slab.words),
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

/// One output of `tile` rows a thread column; see `DeviceMatrix` for the layout of the weights.
#[cube(launch)]
fn linear_kernel(
    x: &[f32],
    words: &[u32],
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
    let output = CUBE_POS_X as usize * LANES + lane;
    // Threads past the end compute what nobody writes: all of a cube must reach the barrier.
    let place = clamp_max(output, outputs - 1);
    let first_row = CUBE_POS_Y as usize * tile;

    let mut starts = Array::<usize>::new(tile);
    let mut sums = Array::<f32>::new(tile);
    #[unroll]
    for row in 0..tile {
        starts[row] = clamp_max(first_row + row, rows - 1) * columns;
        sums[row] = 0.0f32;
    }
    let mut block = share;
    while block < columns / BLOCK {
        add_block(x, words, scales, mins, &starts, &mut sums, block, place, outputs, variant);
        block += SHARES;
    }

    let mut shared = Shared::<[f32]>::new_slice(comptime!(TILE * SHARES * LANES));
    #[unroll]
    for row in 0..tile {
        shared[(row * SHARES + share) * LANES + lane] = sums[row];
    }
    sync_cube();
    // As many shares as rows of a tile at most: share r writes row r.
    let row = first_row + share;
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
}

/// Adds the products of one block of weights to the rows' sums.
#[cube]
fn add_block(
    x: &[f32],
    words: &[u32],
    scales: &[f32],
    mins: &[f32],
    starts: &Array<usize>,
    sums: &mut Array<f32>,
    block: usize,
    place: usize,
    outputs: usize,
    #[comptime] variant: Variant,
) {
    let coding = comptime!(variant.coding);
    let first_word = block * comptime!(coding.bits);
    let mut min = 0.0f32;
    if comptime!(coding.has_min) {
        min = mins[block * outputs + place];
    }
    #[unroll]
    for quarter in 0..4usize {
        let scale_index = comptime!(quarter * coding.scales / 4);
        let scale = scales[(block * comptime!(coding.scales) + scale_index) * outputs + place];
        let low = words[(first_word + quarter) * outputs + place];
        #[unroll]
        for index in 0..8usize {
            let k = comptime!(quarter * 8 + index);
            let mut code = (low >> comptime!(4 * index as u32)) & 15u32;
            if comptime!(coding.bits > 4) {
                let high = comptime!(coding.bits - 4);
                let word = words[(first_word + comptime!(4 + k / (BLOCK / high))) * outputs + place];
                let shift = comptime!((k % (BLOCK / high) * high) as u32);
                code |= ((word >> shift) & comptime!((1u32 << high) - 1)) << 4u32;
            }
            let mut weight = scale * (f32::cast_from(code) - comptime!(coding.offset as f32));
            if comptime!(coding.has_min) {
                weight += min;
            }
            #[unroll]
            for row in 0..comptime!(variant.tile) {
                sums[row] += weight * x[starts[row] + block * BLOCK + k];
            }
        }
    }
}
