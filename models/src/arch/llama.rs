//! Llama (arXiv 2302.13971, 2307.09288) as SmolLM2 has it: pre-norm layers of grouped-query attention with rotary
//! positions, and SwiGLU.

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use synod_kernels::rope::{Pairs, Rope};

use super::{CausalLm, Config};
use crate::nn::{
    DecoderLayer, Embedding, FeedForward, Gate, Heads, Loader, OutputHead, SelfAttention, Step, WeightError,
};

/// The model.
#[derive(Module, Debug)]
pub(super) struct Llama {
    embedding: Embedding,
    layers: Vec<DecoderLayer>,
    head: OutputHead,
    #[module(skip)]
    config: Config,
    #[module(skip)]
    ropes: Vec<Rope>,
    #[module(skip)]
    device: Device,
}

impl Llama {
    /// Llama's files hold query and key rows permuted so that neighbours are rotated together.
    pub(super) fn load(config: Config, loader: &Loader<'_>) -> Result<Self, WeightError> {
        Self::with_pairs(config, Pairs::Neighbours, loader)
    }

    /// The same layers serve Qwen2, whose files keep the halves rotated together.
    pub(super) fn with_pairs(config: Config, pairs: Pairs, loader: &Loader<'_>) -> Result<Self, WeightError> {
        let Config { width, head_dim, vocabulary, .. } = config;
        let factors = match loader.has("rope_freqs.weight") {
            true => loader.floats("rope_freqs.weight", head_dim / 2)?,
            false => Vec::new(),
        };
        let rope = Rope::new(head_dim, config.rope_base, config.rope_scale, &factors, pairs);
        let weight = loader.matrix("token_embd.weight", width, vocabulary)?;
        let projection = loader.linear_or_tied("output", &weight)?;
        let layers =
            (0..config.layers).map(|layer| Self::layer(&config, &rope, layer, loader)).collect::<Result<_, _>>()?;
        let norm = loader.norm("output_norm", width, config.norm_epsilon)?;
        Ok(Self {
            embedding: Embedding { weight, scale: 1.0 },
            layers,
            head: OutputHead { norm, projection },
            config,
            ropes: vec![rope],
            device: loader.device().clone(),
        })
    }

    fn layer(config: &Config, rope: &Rope, layer: usize, loader: &Loader<'_>) -> Result<DecoderLayer, WeightError> {
        let Config { width, inner, heads, kv_heads, head_dim, norm_epsilon, .. } = *config;
        let name = |part: &str| loader.part_of(layer, part);
        let attention = SelfAttention {
            norm: loader.norm(&name("attn_norm"), width, norm_epsilon)?,
            query: loader.linear(&name("attn_q"), width, heads * head_dim)?,
            key: loader.linear(&name("attn_k"), width, kv_heads * head_dim)?,
            value: loader.linear(&name("attn_v"), width, kv_heads * head_dim)?,
            head_norms: None,
            output: loader.linear(&name("attn_output"), heads * head_dim, width)?,
            post_norm: None,
            heads: Heads { heads, kv_heads, head_dim, query_scale: 1.0 / (head_dim as f32).sqrt() },
            rope: rope.clone(),
            angles: 0,
            window: None,
            layer,
        };
        let feed_forward = FeedForward {
            norm: loader.norm(&name("ffn_norm"), width, norm_epsilon)?,
            gate: loader.linear(&name("ffn_gate"), width, inner)?,
            up: loader.linear(&name("ffn_up"), width, inner)?,
            down: loader.linear(&name("ffn_down"), inner, width)?,
            post_norm: None,
            activation: Gate::Silu,
        };
        Ok(DecoderLayer { attention, feed_forward })
    }
}

impl CausalLm for Llama {
    fn forward(&self, tokens: &[u32], step: &Step) -> Option<Tensor<2>> {
        let x = self.embedding.forward(tokens, &self.device);
        DecoderLayer::forward_all(&self.layers, x, step).map(|x| self.head.forward(x, step))
    }

    fn config(&self) -> &Config {
        &self.config
    }

    fn ropes(&self) -> &[Rope] {
        &self.ropes
    }
}
