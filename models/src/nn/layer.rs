//! A transformer layer.

use burn::{module::Module, tensor::Tensor};

use super::{FeedForward, SelfAttention, Step};

/// Self-attention, then a feed-forward layer, each with its residual connection.
#[derive(Module, Debug)]
pub struct DecoderLayer {
    /// Mixes tokens.
    pub attention: SelfAttention,
    /// Works on each token.
    pub feed_forward: FeedForward,
}

impl DecoderLayer {
    /// Through all `layers`, or nothing once nobody wants it: then keys and values of some of them are missing.
    pub fn forward_all(layers: &[Self], x: Tensor<2>, step: &Step) -> Option<Tensor<2>> {
        layers.iter().try_fold(x, |x, layer| step.wanted.is_so().then(|| layer.forward(x, step)))
    }

    /// `[rows, width]` → `[rows, width]`.
    pub fn forward(&self, x: Tensor<2>, step: &Step) -> Tensor<2> {
        let x = self.attention.forward(x, step);
        self.feed_forward.forward(x, step)
    }
}
