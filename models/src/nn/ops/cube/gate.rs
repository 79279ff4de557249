//! The gate of a feed-forward layer.

use burn_cubecl::cubecl::{self, prelude::*};

use super::Matrix;
use crate::nn::Gate;

/// Threads of a cube.
const THREADS: u32 = 64;

/// `[rows, gates | ups]` → `gate(gates) ⊙ ups`.
pub(super) fn gate(both: &Matrix, by: Gate) -> Matrix {
    let out = both.empty(both.width / 2);
    if both.rows > 0 {
        let cubes = CubeCount::Static((out.width as u32).div_ceil(THREADS), both.rows as u32, 1);
        let gelu = by == Gate::GeluTanh;
        gate_kernel::launch(both.client(), cubes, CubeDim::new_1d(THREADS), both.arg(), out.arg(), out.width, gelu);
    }
    out
}

#[cube(launch)]
fn gate_kernel(both: &[f32], out: &mut [f32], width: usize, #[comptime] gelu: bool) {
    let (row, i) = (CUBE_POS_Y as usize, ABSOLUTE_POS_X as usize);
    if i < width {
        let x = both[row * 2 * width + i];
        let up = both[row * 2 * width + width + i];
        let mut value = x / (1.0f32 + bounded_exp(-x));
        if gelu {
            // tanh(z) = 1 − 2/(1 + e^2z), so ½x(1 + tanh z) = x − x/(1 + e^2z)
            let z = 0.797_884_6f32 * (x + 0.044_715f32 * x * x * x);
            value = x - x / (1.0f32 + bounded_exp(2.0f32 * z));
        }
        out[row * width + i] = value * up;
    }
}

/// e^x without overflow, which shaders need not handle.
#[cube]
fn bounded_exp(x: f32) -> f32 {
    clamp(x, -87.3f32, 88.3f32).exp()
}
