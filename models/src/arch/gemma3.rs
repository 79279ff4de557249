//! Gemma 3, text only (arXiv 2503.19786): five layers that see a sliding window, then one that sees all, each kind with
//! rotary frequencies of its own; norms before and behind each block, and over the heads of queries and keys; GeGLU;
//! embeddings scaled by √width and shared with the output head.

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use synod_kernels::rope::{Pairs, Rope};

use super::{CausalLm, Config};
use crate::nn::{
    DecoderLayer, Embedding, FeedForward, Gate, HeadNorms, Heads, Loader, OutputHead, SelfAttention, Step, WeightError,
};

/// Every so manieth layer is global.
const GLOBAL_EVERY: usize = 6;
/// Base of the rotary frequencies in local layers.
const LOCAL_ROPE_BASE: f32 = 10_000.0;

/// The model.
#[derive(Module, Debug)]
pub(super) struct Gemma3 {
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

impl Gemma3 {
    pub(super) fn load(config: Config, loader: &Loader<'_>) -> Result<Self, WeightError> {
        let Config { width, head_dim, vocabulary, .. } = config;
        let global = Rope::new(head_dim, config.rope_base, config.rope_scale, &[], Pairs::Halves);
        let local = Rope::new(head_dim, LOCAL_ROPE_BASE, 1.0, &[], Pairs::Halves);
        let ropes = vec![global, local];
        let weight = loader.matrix("token_embd.weight", width, vocabulary)?;
        let projection = loader.linear_or_tied("output", &weight)?;
        let layers =
            (0..config.layers).map(|layer| Self::layer(&config, &ropes, layer, loader)).collect::<Result<_, _>>()?;
        let norm = loader.norm("output_norm", width, config.norm_epsilon)?;
        Ok(Self {
            embedding: Embedding { weight, scale: (width as f32).sqrt() },
            layers,
            head: OutputHead { norm, projection },
            config,
            ropes,
            device: loader.device().clone(),
        })
    }

    fn layer(config: &Config, ropes: &[Rope], layer: usize, loader: &Loader<'_>) -> Result<DecoderLayer, WeightError> {
        let Config { width, inner, heads, kv_heads, head_dim, norm_epsilon, .. } = *config;
        let name = |part: &str| loader.part_of(layer, part);
        let norm = |part: &str, width: usize| loader.norm(&name(part), width, norm_epsilon);
        let global = (layer + 1).is_multiple_of(GLOBAL_EVERY);
        let angles = usize::from(!global);
        let attention = SelfAttention {
            norm: norm("attn_norm", width)?,
            query: loader.linear(&name("attn_q"), width, heads * head_dim)?,
            key: loader.linear(&name("attn_k"), width, kv_heads * head_dim)?,
            value: loader.linear(&name("attn_v"), width, kv_heads * head_dim)?,
            head_norms: Some(HeadNorms { query: norm("attn_q_norm", head_dim)?, key: norm("attn_k_norm", head_dim)? }),
            output: loader.linear(&name("attn_output"), heads * head_dim, width)?,
            post_norm: Some(norm("post_attention_norm", width)?),
            heads: Heads { heads, kv_heads, head_dim, query_scale: 1.0 / (head_dim as f32).sqrt() },
            rope: ropes[angles].clone(),
            angles,
            window: if global { None } else { config.window },
            layer,
        };
        let feed_forward = FeedForward {
            norm: norm("ffn_norm", width)?,
            gate: loader.linear(&name("ffn_gate"), width, inner)?,
            up: loader.linear(&name("ffn_up"), width, inner)?,
            down: loader.linear(&name("ffn_down"), inner, width)?,
            post_norm: Some(norm("post_ffw_norm", width)?),
            activation: Gate::GeluTanh,
        };
        Ok(DecoderLayer { attention, feed_forward })
    }
}

impl CausalLm for Gemma3 {
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
