//! BERT (Devlin 2018, [arXiv 1810.04805](https://arxiv.org/abs/1810.04805)) as an encoder of sentences (Sentence-BERT,
//! Reimers 2019, [arXiv 1908.10084](https://arxiv.org/abs/1908.10084)).

use burn::{
    module::{Module, Param},
    nn::{Embedding, LayerNorm, LayerNormConfig, Linear},
    tensor::{Bool, Device, Int, Tensor, activation::gelu, module::attention, ops::AttentionModuleOptions},
};
use serde::Deserialize;

use crate::embed::{WeightError, Weights};

/// The shape of a BERT: the fields of its `config.json` that this file uses, by their names there.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct BertConfig {
    /// Token ids are below this.
    pub vocab_size: usize,
    /// Width of a token's state.
    pub hidden_size: usize,
    /// Transformer blocks.
    pub num_hidden_layers: usize,
    /// Heads of each block's attention.
    pub num_attention_heads: usize,
    /// Width inside a block's feed-forward network.
    pub intermediate_size: usize,
    /// Learned positions: no input is longer.
    pub max_position_embeddings: usize,
    /// Kinds of segment; sentence encoders use only the first.
    pub type_vocab_size: usize,
    /// Added to the variance.
    pub layer_norm_eps: f64,
    /// The feed-forward network's activation.
    pub hidden_act: String,
}

impl BertConfig {
    /// Builds the model from its weights.
    ///
    /// # Errors
    /// When a tensor is missing or does not have the shape or type that this configuration says.
    pub fn init(&self, weights: &Weights<'_>, device: &Device) -> Result<Bert, WeightError> {
        let table = |name, rows| {
            let weight = weights.tensor(&format!("embeddings.{name}.weight"), [rows, self.hidden_size], device)?;
            Ok(Embedding { weight: Param::from_tensor(weight) })
        };
        let embeddings = BertEmbeddings {
            word: table("word_embeddings", self.vocab_size)?,
            position: table("position_embeddings", self.max_position_embeddings)?,
            token_type: table("token_type_embeddings", self.type_vocab_size)?,
            norm: self.norm(weights, "embeddings.LayerNorm", device)?,
        };
        let layer = |index| self.layer(weights, &format!("encoder.layer.{index}"), device);
        let layers = (0..self.num_hidden_layers).map(layer).collect::<Result<_, _>>()?;
        Ok(Bert { embeddings, layers })
    }

    fn layer(&self, weights: &Weights<'_>, prefix: &str, device: &Device) -> Result<BertLayer, WeightError> {
        let (hidden, inner) = (self.hidden_size, self.intermediate_size);
        let linear = |name: &str, from, to| linear(weights, &format!("{prefix}.{name}"), from, to, device);
        Ok(BertLayer {
            attention: BertSelfAttention {
                query: linear("attention.self.query", hidden, hidden)?,
                key: linear("attention.self.key", hidden, hidden)?,
                value: linear("attention.self.value", hidden, hidden)?,
                output: linear("attention.output.dense", hidden, hidden)?,
                num_heads: self.num_attention_heads,
            },
            attention_norm: self.norm(weights, &format!("{prefix}.attention.output.LayerNorm"), device)?,
            intermediate: linear("intermediate.dense", hidden, inner)?,
            output: linear("output.dense", inner, hidden)?,
            output_norm: self.norm(weights, &format!("{prefix}.output.LayerNorm"), device)?,
        })
    }

    fn norm(&self, weights: &Weights<'_>, name: &str, device: &Device) -> Result<LayerNorm, WeightError> {
        let mut norm = LayerNormConfig::new(self.hidden_size).with_epsilon(self.layer_norm_eps).init(device);
        let read = |part: &str| weights.tensor(&format!("{name}.{part}"), [self.hidden_size], device);
        norm.gamma = Param::from_tensor(read("weight")?);
        norm.beta = Some(Param::from_tensor(read("bias")?));
        Ok(norm)
    }
}

/// Files hold `[to, from]`, burn multiplies by `[from, to]`: a view with the axes swapped, no copy.
fn linear(weights: &Weights<'_>, name: &str, from: usize, to: usize, device: &Device) -> Result<Linear, WeightError> {
    let weight: Tensor<2> = weights.tensor(&format!("{name}.weight"), [to, from], device)?;
    let bias = weights.tensor(&format!("{name}.bias"), [to], device)?;
    Ok(Linear { weight: Param::from_tensor(weight.transpose()), bias: Some(Param::from_tensor(bias)) })
}

/// A batch of token sequences, padded to one length.
#[derive(Debug, Clone)]
pub struct BertInput {
    /// `[batch, seq]`
    pub ids: Tensor<2, Int>,
    /// `[batch, seq]`, true where a sequence has ended and its row is only filled up.
    pub padding: Tensor<2, Bool>,
}

/// The encoder.
#[derive(Module, Debug)]
pub struct Bert {
    /// Ids to states.
    pub embeddings: BertEmbeddings,
    /// States to states, in order.
    pub layers: Vec<BertLayer>,
}

impl Bert {
    /// The state of every token, `[batch, seq, hidden]`.
    #[must_use]
    pub fn forward(&self, input: BertInput) -> Tensor<3> {
        let states = self.embeddings.forward(input.ids);
        self.layers.iter().fold(states, |states, layer| layer.forward(states, input.padding.clone()))
    }

    /// One vector a sequence, `[batch, hidden]`: the mean of its tokens' states (Sentence-BERT's MEAN strategy), scaled to
    /// length one so that a dot product of two is their cosine.
    #[must_use]
    pub fn sentence_embeddings(&self, input: BertInput) -> Tensor<2> {
        let kept = input.padding.clone().bool_not().float().unsqueeze_dim::<3>(2); // [batch, seq, 1]
        let states = self.forward(input);
        let count = kept.clone().sum_dim(1); // [batch, 1, 1], at least 2: [CLS] and [SEP]
        let mean = (states * kept).sum_dim(1).div(count).squeeze_dim::<2>(1); // [batch, hidden]
        let length = mean.clone().square().sum_dim(1).sqrt().clamp_min(1e-12); // [batch, 1]
        mean / length
    }
}

/// What a token is, where it stands and in which segment, summed.
#[derive(Module, Debug)]
pub struct BertEmbeddings {
    /// `[vocab, hidden]`
    pub word: Embedding,
    /// `[positions, hidden]`
    pub position: Embedding,
    /// `[segments, hidden]`
    pub token_type: Embedding,
    /// Over `hidden`.
    pub norm: LayerNorm,
}

impl BertEmbeddings {
    /// `[batch, seq]` to `[batch, seq, hidden]`.
    fn forward(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        let [_, seq] = ids.dims();
        let positions = Tensor::<1, Int>::arange(0..seq as i64, &ids.device()).unsqueeze::<2>(); // [1, seq]
        let segment = positions.zeros_like();
        let sum = self.word.forward(ids) + self.position.forward(positions) + self.token_type.forward(segment);
        self.norm.forward(sum)
    }
}

/// A transformer block: attention, then a feed-forward network, each added to its input and normalised after ("post-norm").
#[derive(Module, Debug)]
pub struct BertLayer {
    /// Between tokens.
    pub attention: BertSelfAttention,
    /// Over `hidden`.
    pub attention_norm: LayerNorm,
    /// `hidden` to `intermediate`.
    pub intermediate: Linear,
    /// `intermediate` to `hidden`.
    pub output: Linear,
    /// Over `hidden`.
    pub output_norm: LayerNorm,
}

impl BertLayer {
    /// `states` is `[batch, seq, hidden]`, `padding` `[batch, seq]`.
    fn forward(&self, states: Tensor<3>, padding: Tensor<2, Bool>) -> Tensor<3> {
        let states = self.attention_norm.forward(self.attention.forward(states.clone(), padding) + states);
        let inner = gelu(self.intermediate.forward(states.clone())); // the exact one, with erf
        self.output_norm.forward(self.output.forward(inner) + states)
    }
}

/// Multi-head attention of every token to every token that is not padding.
#[derive(Module, Debug)]
pub struct BertSelfAttention {
    /// `hidden` to `heads × head_dim`.
    pub query: Linear,
    /// `hidden` to `heads × head_dim`.
    pub key: Linear,
    /// `hidden` to `heads × head_dim`.
    pub value: Linear,
    /// `heads × head_dim` to `hidden`.
    pub output: Linear,
    /// Divides `hidden`.
    pub num_heads: usize,
}

impl BertSelfAttention {
    /// `states` is `[batch, seq, hidden]`, `padding` `[batch, seq]`.
    fn forward(&self, states: Tensor<3>, padding: Tensor<2, Bool>) -> Tensor<3> {
        let [batch, seq, hidden] = states.dims();
        let heads = |states: Tensor<3>| {
            states.reshape([batch, seq, self.num_heads, hidden / self.num_heads]).swap_dims(1, 2) // [batch, heads, seq, head_dim]
        };
        let query = heads(self.query.forward(states.clone()));
        let key = heads(self.key.forward(states.clone()));
        let value = heads(self.value.forward(states));
        let mask = padding.reshape([batch, 1, 1, seq]).expand([batch, self.num_heads, seq, seq]);
        let mixed = attention(query, key, value, Some(mask), None, AttentionModuleOptions::default());
        self.output.forward(mixed.swap_dims(1, 2).reshape([batch, seq, hidden]))
    }
}
