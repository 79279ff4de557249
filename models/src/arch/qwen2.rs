//! Qwen2 and Qwen2.5 (arXiv 2407.10671, 2412.15115): Llama's layers with biases on queries, keys and values (the loader
//! takes a bias where the file has one), and the halves of a head rotated together.

use burn::tensor::Tensor;
use synod_kernels::rope::{Pairs, Rope};

use super::{CausalLm, Config, llama::Llama};
use crate::nn::{Loader, Step, WeightError};

/// The model.
#[derive(Debug)]
pub(super) struct Qwen2(Llama);

impl Qwen2 {
    pub(super) fn load(config: Config, loader: &Loader<'_>) -> Result<Self, WeightError> {
        Llama::with_pairs(config, Pairs::Halves, loader).map(Self)
    }
}

impl CausalLm for Qwen2 {
    fn forward(&self, tokens: &[u32], step: &Step) -> Option<Tensor<2>> {
        self.0.forward(tokens, step)
    }

    fn config(&self) -> &Config {
        self.0.config()
    }

    fn ropes(&self) -> &[Rope] {
        self.0.ropes()
    }
}
