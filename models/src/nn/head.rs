//! From token ids to vectors and from vectors to logits.

use std::sync::Arc;

use burn::{
    module::Module,
    tensor::{Device, Tensor, TensorData},
};
use synod_kernels::PackedMatrix;

use super::{PackedLinear, RmsNorm, Step, ops};

/// Token embeddings `[vocabulary, width]`, looked up in their quantised format. May share its matrix with the output head.
#[derive(Module, Debug)]
pub struct Embedding {
    /// `[vocabulary, width]`.
    #[module(skip)]
    pub weight: Arc<PackedMatrix>,
    /// What vectors are multiplied by (√width in Gemma, 1 elsewhere).
    #[module(skip)]
    pub scale: f32,
}

impl Embedding {
    /// Ids → `[rows, width]`.
    pub fn forward(&self, tokens: &[u32], device: &Device) -> Tensor<2> {
        let width = self.weight.columns();
        let mut rows = vec![0.0; tokens.len() * width];
        for (&token, row) in tokens.iter().zip(rows.chunks_exact_mut(width)) {
            self.weight.row(token as usize, row);
            row.iter_mut().for_each(|x| *x *= self.scale);
        }
        Tensor::from_data(TensorData::new(rows, [tokens.len(), width]), device)
    }
}

/// The last norm and the projection to the vocabulary.
#[derive(Module, Debug)]
pub struct OutputHead {
    /// `[width]`.
    pub norm: RmsNorm,
    /// `[vocabulary, width]`.
    pub projection: PackedLinear,
}

impl OutputHead {
    /// `[rows, width]` → logits of the step's output rows, `[outputs, vocabulary]`.
    pub fn forward(&self, x: Tensor<2>, step: &Step) -> Tensor<2> {
        let wanted = ops::select_rows(x, &step.outputs);
        ops::norm_linear(&wanted, &self.norm, &[&self.projection], step)
    }
}
