//! The gated feed-forward layer as a residual block.

use burn::{module::Module, tensor::Tensor};
use synod_kernels::elementwise::Gate;

use super::{PackedLinear, RmsNorm, Step, ops};

/// Feed-forward layer with a gated linear unit (arXiv 2002.05202), its pre-norm and the residual connection around it:
/// `x + norm₂((g(n·Wᵍ) ⊙ n·Wᵘ)·Wᵈ)` with `n = norm₁(x)`.
#[derive(Module, Debug)]
pub struct FeedForward {
    /// norm₁, `[width]`.
    pub norm: RmsNorm,
    /// Wᵍ, `[inner, width]`.
    pub gate: PackedLinear,
    /// Wᵘ, `[inner, width]`.
    pub up: PackedLinear,
    /// Wᵈ, `[width, inner]`.
    pub down: PackedLinear,
    /// norm₂, where the architecture has one.
    pub post_norm: Option<RmsNorm>,
    /// g.
    #[module(skip)]
    pub activation: Gate,
}

impl FeedForward {
    /// `[rows, width]` → `[rows, width]`.
    pub fn forward(&self, x: Tensor<2>, step: &Step) -> Tensor<2> {
        let inner = ops::norm_gated(&x, self, step); // [rows, inner]
        ops::linear_add(inner, &self.down, self.post_norm.as_ref(), x, step)
    }
}
