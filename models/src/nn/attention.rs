//! Self-attention as a residual block.

use burn::{module::Module, tensor::Tensor};
use synod_kernels::{attention::Heads, rope::Rope};

use super::{PackedLinear, RmsNorm, Step, ops};

/// Norms over single heads of queries and keys, before rotation (Gemma 3, arXiv 2503.19786 §2).
#[derive(Module, Debug)]
pub struct HeadNorms {
    /// `[head_dim]`.
    pub query: RmsNorm,
    /// `[head_dim]`.
    pub key: RmsNorm,
}

/// Causal self-attention with grouped queries (arXiv 2305.13245) and rotary positions (arXiv 2104.09864), its pre-norm
/// and the residual connection around it: `x + norm₂(attention(norm₁(x))·Wₒ)`.
#[derive(Module, Debug)]
pub struct SelfAttention {
    /// norm₁, `[width]`.
    pub norm: RmsNorm,
    /// `[heads·head_dim, width]`.
    pub query: PackedLinear,
    /// `[kv_heads·head_dim, width]`.
    pub key: PackedLinear,
    /// `[kv_heads·head_dim, width]`.
    pub value: PackedLinear,
    /// Norms over single heads, where the architecture has them.
    pub head_norms: Option<HeadNorms>,
    /// Wₒ, `[width, heads·head_dim]`.
    pub output: PackedLinear,
    /// norm₂, where the architecture has one.
    pub post_norm: Option<RmsNorm>,
    /// How the width is divided.
    #[module(skip)]
    pub heads: Heads,
    /// The rotation of queries and keys.
    #[module(skip)]
    pub rope: Rope,
    /// Which of the step's angles belong to `rope`.
    #[module(skip)]
    pub angles: usize,
    /// How many past tokens it sees, itself included; all where this is none.
    #[module(skip)]
    pub window: Option<usize>,
    /// Where its keys and values are in the cache.
    #[module(skip)]
    pub layer: usize,
}

impl SelfAttention {
    /// `[rows, width]` → `[rows, width]`.
    pub fn forward(&self, x: Tensor<2>, step: &Step) -> Tensor<2> {
        let qkv = ops::norm_linear(&x, &self.norm, &[&self.query, &self.key, &self.value], step);
        let mixed = ops::attend(qkv, self, step); // [rows, heads·head_dim]
        ops::linear_add(mixed, &self.output, self.post_norm.as_ref(), x, step)
    }
}
