//! Linear layers and norms.

use burn::{module::Module, module::Param, tensor::Tensor};

use super::Weight;

/// A linear layer whose weights `[outputs, inputs]` stay in their quantised format: `y = x·Wᵀ + b`.
#[derive(Module, Debug)]
pub struct PackedLinear {
    /// `[outputs, inputs]`.
    #[module(skip)]
    pub weight: Weight,
    /// `[outputs]`.
    pub bias: Option<Param<Tensor<1>>>,
}

impl PackedLinear {
    /// Width of what comes out.
    pub fn outputs(&self) -> usize {
        self.weight.rows()
    }

    /// Width of what goes in.
    pub fn inputs(&self) -> usize {
        self.weight.columns()
    }
}

/// Root-mean-square norm (arXiv 1910.07467): `y = x / √(mean(x²) + ε) · weight`.
#[derive(Module, Debug)]
pub struct RmsNorm {
    /// `[width]`.
    pub weight: Param<Tensor<1>>,
    /// ε.
    #[module(skip)]
    pub epsilon: f32,
}
