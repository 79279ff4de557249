//! The operations of a decoder layer as a burn backend extension, fused where a step would otherwise pass over its
//! activations again: norm + quantise + projections, norm (per head) + rotation + cache, attention, projection + residual.
//!
//! `Flex`, burn's CPU backend, runs them on `synod-kernels`; `Cube`, its GPU backend, on kernels of its own (feature
//! `wgpu`).

#[cfg(feature = "wgpu")]
pub(crate) mod cube;
mod flex;

use burn::{
    backend::{Backend, Dispatch, backend_extension, tensor::FloatTensor},
    tensor::{Tensor, TensorData},
};

use super::{FeedForward, PackedLinear, RmsNorm, SelfAttention, Step};

/// Operations of a decoder layer; see the functions of the same names for their meaning.
#[backend_extension(Flex, Cube: cfg(feature = "wgpu"))]
pub trait DecoderOps: Backend {
    /// See [`norm_linear`].
    fn norm_linear(x: FloatTensor<Self>, norm: &RmsNorm, to: &[&PackedLinear], step: &Step) -> FloatTensor<Self>;
    /// See [`norm_gated`].
    fn norm_gated(x: FloatTensor<Self>, layer: &FeedForward, step: &Step) -> FloatTensor<Self>;
    /// See [`attend`].
    fn attend(qkv: FloatTensor<Self>, layer: &SelfAttention, step: &Step) -> FloatTensor<Self>;
    /// See [`linear_add`].
    fn linear_add(
        inner: FloatTensor<Self>,
        to: &PackedLinear,
        norm: Option<&RmsNorm>,
        x: FloatTensor<Self>,
        step: &Step,
    ) -> FloatTensor<Self>;
}

/// `[norm(x)·W₀ᵀ + b₀ | norm(x)·W₁ᵀ + b₁ | …]`: `[rows, width]` → `[rows, Σ outputs]`.
pub fn norm_linear(x: &Tensor<2>, norm: &RmsNorm, to: &[&PackedLinear], step: &Step) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as DecoderOps>::norm_linear(x.clone().into_dispatch(), norm, to, step))
}

/// `g(norm(x)·Wᵍ) ⊙ (norm(x)·Wᵘ)`: `[rows, width]` → `[rows, inner]`.
pub fn norm_gated(x: &Tensor<2>, layer: &FeedForward, step: &Step) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as DecoderOps>::norm_gated(x.clone().into_dispatch(), layer, step))
}

/// Rotates queries and keys, stores keys and values in the cache and attends to all that each row sees:
/// `[rows, (heads + 2·kv_heads)·head_dim]` → `[rows, heads·head_dim]`.
pub fn attend(qkv: Tensor<2>, layer: &SelfAttention, step: &Step) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as DecoderOps>::attend(qkv.into_dispatch(), layer, step))
}

/// `x + norm(inner·Wᵀ)`, without the norm where there is none: `[rows, inner]`, `[rows, width]` → `[rows, width]`.
pub fn linear_add(inner: Tensor<2>, to: &PackedLinear, norm: Option<&RmsNorm>, x: Tensor<2>, step: &Step) -> Tensor<2> {
    let sum = <Dispatch as DecoderOps>::linear_add(inner.into_dispatch(), to, norm, x.into_dispatch(), step);
    Tensor::from_dispatch(sum)
}

/// Some rows of `x`, in order.
pub fn select_rows(x: Tensor<2>, rows: &[usize]) -> Tensor<2> {
    if rows.iter().copied().eq(0..x.dims()[0]) {
        return x;
    }
    let indices: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
    let device = x.device();
    x.select(0, Tensor::from_data(TensorData::new(indices, [rows.len()]), &device))
}
