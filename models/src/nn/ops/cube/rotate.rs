//! Rotary positions, and the way of a token's keys and values into the cache.

use burn_cubecl::{
    cubecl::{self, prelude::*},
    tensor::CubeTensor,
};
use synod_kernels::{BLOCK_TOKENS, rope::Pairs};

use super::{Matrix, Plan, arg, norm::inverse_rms, vector};
use crate::nn::SelfAttention;

/// Threads that share a head.
const THREADS: usize = 32;

/// What a kernel is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Variant {
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    pairs: Pairs,
    norms: bool,
}

/// Norms (if any), rotates and scales the queries of `qkv` (`[rows, (heads + 2·kv_heads)·head_dim]`) into a matrix of their
/// own, and stores norm'd, rotated keys and the values in the cache at each row's position.
pub(super) fn rotate_and_store(
    qkv: &Matrix,
    layer: &SelfAttention,
    plan: &Plan,
    keys: &CubeTensor,
    values: &CubeTensor,
) -> Matrix {
    let (heads, pairs) = (layer.heads, layer.rope.pairs());
    let queries = qkv.empty(heads.heads * heads.head_dim);
    if qkv.rows == 0 {
        return queries;
    }
    let norms = layer.head_norms.as_ref();
    let (cos, sin) = &plan.angles[layer.angles];
    let weights = norms.map(|norms| (vector(&norms.query.weight), vector(&norms.key.weight)));
    let (query_norm, key_norm) = weights.as_ref().map_or((cos, cos), |(query, key)| (query, key));
    let synod_kernels::attention::Heads { heads, kv_heads, head_dim, query_scale } = heads;
    rotate_kernel::launch(
        qkv.client(),
        CubeCount::Static((heads + 2 * kv_heads) as u32, qkv.rows as u32, 1),
        CubeDim::new_1d(THREADS as u32),
        qkv.arg(),
        arg(query_norm),
        arg(key_norm),
        arg(cos),
        arg(sin),
        arg(&plan.places),
        arg(&plan.tables),
        queries.arg(),
        arg(keys),
        arg(values),
        query_scale,
        norms.map_or(0.0, |norms| norms.query.epsilon),
        Variant { heads, kv_heads, head_dim, pairs, norms: norms.is_some() },
    );
    queries
}

/// A cube takes a head of a row: of its queries, its keys or its values.
#[cube(launch)]
fn rotate_kernel(
    qkv: &[f32],
    query_norm: &[f32],
    key_norm: &[f32],
    cos: &[f32],
    sin: &[f32],
    places: &[u32],
    tables: &[u32],
    queries: &mut [f32],
    keys: &mut [f32],
    values: &mut [f32],
    query_scale: f32,
    epsilon: f32,
    #[comptime] variant: Variant,
) {
    let (heads, kv_heads) = comptime!((variant.heads, variant.kv_heads));
    let head_dim = comptime!(variant.head_dim);
    let half = comptime!(variant.head_dim / 2);
    let (head, row) = (CUBE_POS_X as usize, CUBE_POS_Y as usize);
    let start = (row * comptime!(heads + 2 * kv_heads) + head) * head_dim;
    let is_query = head < heads;
    let is_key = !is_query && head < comptime!(heads + kv_heads);
    let kv_head = (head - heads.min(head)) % kv_heads;

    let mut scale = 1.0f32;
    if comptime!(variant.norms) {
        scale = inverse_rms(qkv, start, head_dim, epsilon, THREADS);
    }
    let position = places[2 * row + 1] as usize;
    let block = tables[places[2 * row] as usize + position / BLOCK_TOKENS] as usize;
    let slot = position % BLOCK_TOKENS;
    let cached = (block * kv_heads + kv_head) * comptime!(head_dim * BLOCK_TOKENS);

    let mut i = UNIT_POS as usize;
    while i < half {
        let mut a = i;
        let mut b = i + half;
        if comptime!(variant.pairs == Pairs::Neighbours) {
            a = 2 * i;
            b = 2 * i + 1;
        }
        let mut x = qkv[start + a];
        let mut y = qkv[start + b];
        if is_query || is_key {
            if comptime!(variant.norms) {
                x *= scale * select(is_query, query_norm[a], key_norm[a]);
                y *= scale * select(is_query, query_norm[b], key_norm[b]);
            }
            let (c, s) = (cos[row * half + i], sin[row * half + i]);
            let turned = x * c - y * s;
            y = x * s + y * c;
            x = turned;
        }
        if is_query {
            let out = (row * heads + head) * head_dim;
            queries[out + a] = x * query_scale;
            queries[out + b] = y * query_scale;
        } else if is_key {
            keys[cached + a * BLOCK_TOKENS + slot] = x;
            keys[cached + b * BLOCK_TOKENS + slot] = y;
        } else {
            values[cached + slot * head_dim + a] = x;
            values[cached + slot * head_dim + b] = y;
        }
        i += THREADS;
    }
}
