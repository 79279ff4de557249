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
    /// `[rows, width]` → `[rows, width]`.
    pub fn forward(&self, x: Tensor<2>, step: &Step) -> Tensor<2> {
        let x = self.attention.forward(x, step);
        self.feed_forward.forward(x, step)
    }
}
