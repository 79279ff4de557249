//! Causal attention of a ragged batch over the paged cache, with an online softmax (FlashAttention, arXiv 2205.14135).

use burn_cubecl::{
    cubecl::{self, prelude::*},
    tensor::CubeTensor,
};
use synod_kernels::{BLOCK_TOKENS, attention::Heads};

use super::{Matrix, Plan, arg};
use crate::nn::SelfAttention;

/// Below every score.
const LOWEST: f32 = -1e30;

/// What a kernel is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Variant {
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
}

/// Attends `queries` (norm'd, rotated and scaled) to all cached tokens up to and including their own, or to the layer's
/// window of them: `[rows, heads·head_dim]` → the same.
pub(super) fn attend(
    queries: &Matrix,
    layer: &SelfAttention,
    plan: &Plan,
    keys: CubeTensor,
    values: CubeTensor,
) -> Matrix {
    let out = queries.empty(queries.width);
    if queries.rows > 0 {
        let Heads { heads, kv_heads, head_dim, .. } = layer.heads;
        attend_kernel::launch(
            queries.client(),
            CubeCount::Static(heads as u32, queries.rows as u32, 1),
            CubeDim::new_1d(BLOCK_TOKENS as u32),
            queries.arg(),
            keys.into_buffer_arg(),
            values.into_buffer_arg(),
            arg(&plan.places),
            arg(&plan.tables),
            out.arg(),
            layer.window.unwrap_or(u32::MAX as usize),
            Variant { heads, kv_heads, head_dim },
        );
    }
    out
}

/// A cube takes a head of a row, block by block: each of its 64 threads scores one of the block's tokens, then sums its
/// share of the output's dimensions.
#[cube(launch)]
fn attend_kernel(
    queries: &[f32],
    keys: &[f32],
    values: &[f32],
    places: &[u32],
    tables: &[u32],
    out: &mut [f32],
    window: usize,
    #[comptime] variant: Variant,
) {
    let head_dim = comptime!(variant.head_dim);
    let shares = comptime!(variant.head_dim.div_ceil(BLOCK_TOKENS));
    let thread = UNIT_POS as usize;
    let (head, row) = (CUBE_POS_X as usize, CUBE_POS_Y as usize);
    let table = places[2 * row] as usize;
    let end = places[2 * row + 1] as usize + 1;
    let first = end - window.min(end);
    let kv_head = head / comptime!(variant.heads / variant.kv_heads);
    let start = (row * comptime!(variant.heads) + head) * head_dim;

    let mut query = Shared::<[f32]>::new_slice(head_dim);
    let mut weights = Shared::<[f32]>::new_slice(BLOCK_TOKENS);
    let mut sums = Array::<f32>::new(shares);
    #[unroll]
    for share in 0..shares {
        let d = thread + share * BLOCK_TOKENS;
        if d < head_dim {
            query[d] = queries[start + d];
        }
        sums[share] = 0.0f32;
    }
    sync_cube();

    let mut largest = LOWEST.runtime();
    let mut total = 0.0f32;
    for block in first / BLOCK_TOKENS..end.div_ceil(BLOCK_TOKENS) {
        let cached = (tables[table + block] as usize * comptime!(variant.kv_heads) + kv_head)
            * comptime!(head_dim * BLOCK_TOKENS);
        // The block's tokens that the row sees; the others' places may hold anything.
        let begin = block * BLOCK_TOKENS;
        let from = first.max(begin) - begin;
        let to = end.min(begin + BLOCK_TOKENS) - begin;

        let mut score = 0.0f32;
        for d in 0..head_dim {
            score += query[d] * keys[cached + d * BLOCK_TOKENS + thread];
        }
        weights[thread] = score;
        sync_cube();
        let mut top = largest;
        for token in from..to {
            top = top.max(weights[token]);
        }
        sync_cube(); // all have read the scores
        weights[thread] = (score - top).exp();
        sync_cube();

        let shrink = (largest - top).exp();
        largest = top;
        total *= shrink;
        for token in from..to {
            total += weights[token];
        }
        #[unroll]
        for share in 0..shares {
            let d = thread + share * BLOCK_TOKENS;
            if d < head_dim {
                let mut sum = sums[share] * shrink;
                for token in from..to {
                    sum += weights[token] * values[cached + token * head_dim + d];
                }
                sums[share] = sum;
            }
        }
        sync_cube(); // all have read the weights
    }
    #[unroll]
    for share in 0..shares {
        let d = thread + share * BLOCK_TOKENS;
        if d < head_dim {
            out[start + d] = sums[share] / total;
        }
    }
}
