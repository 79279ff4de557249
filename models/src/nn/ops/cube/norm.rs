//! Norms over rows.

use burn_cubecl::cubecl::{self, prelude::*};

use super::{Matrix, arg, vector};
use crate::nn::RmsNorm;

/// Threads that share a row.
const THREADS: usize = 64;

/// `norm(x)` of each row, added to `residual` if there is one.
pub(super) fn rms_norm(x: &Matrix, norm: &RmsNorm, residual: Option<&Matrix>) -> Matrix {
    let out = x.empty(x.width);
    if x.rows > 0 {
        let cubes = CubeCount::Static(x.rows as u32, 1, 1);
        let weight = vector(&norm.weight);
        rms_norm_kernel::launch(
            x.client(),
            cubes,
            CubeDim::new_1d(THREADS as u32),
            x.arg(),
            arg(&weight),
            residual.unwrap_or(x).arg(),
            out.arg(),
            x.width,
            norm.epsilon,
            residual.is_some(),
        );
    }
    out
}

/// A cube takes a row.
#[cube(launch)]
fn rms_norm_kernel(
    x: &[f32],
    weight: &[f32],
    residual: &[f32],
    out: &mut [f32],
    width: usize,
    epsilon: f32,
    #[comptime] add: bool,
) {
    let start = CUBE_POS_X as usize * width;
    let scale = inverse_rms(x, start, width, epsilon, THREADS);
    let mut i = UNIT_POS as usize;
    while i < width {
        let mut value = x[start + i] * scale * weight[i];
        if add {
            value += residual[start + i];
        }
        out[start + i] = value;
        i += THREADS;
    }
}

/// 1 / √(mean(x²) + ε) over `x[start..start + width]`, computed by a whole cube.
#[cube]
pub(super) fn inverse_rms(x: &[f32], start: usize, width: usize, epsilon: f32, #[comptime] threads: usize) -> f32 {
    let mut squares = 0.0f32;
    let mut i = UNIT_POS as usize;
    while i < width {
        squares += x[start + i] * x[start + i];
        i += threads;
    }
    let mut shared = Shared::<[f32]>::new_slice(threads);
    shared[UNIT_POS as usize] = squares;
    sync_cube();
    let mut sum = 0.0f32;
    for other in 0..threads {
        sum += shared[other];
    }
    1.0f32 / (sum / f32::cast_from(width) + epsilon).sqrt()
}
