//! The hyperparameters that all our architectures share.

use crate::{gguf::GgufFile, nn::WeightError};

/// Hyperparameters, with the names of the papers rather than the file's.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Transformer layers.
    pub layers: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Width inside a feed-forward layer.
    pub inner: usize,
    /// Query heads.
    pub heads: usize,
    /// Key-value heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Token ids are below this.
    pub vocabulary: usize,
    /// Tokens that the model was trained to see at once.
    pub context_length: usize,
    /// Added to the mean square in norms.
    pub norm_epsilon: f32,
    /// Base of the rotary frequencies.
    pub rope_base: f32,
    /// What positions are divided by (linear scaling, arXiv 2306.15595); 1 is none.
    pub rope_scale: f32,
    /// How many past tokens local layers see, where the architecture has them.
    pub window: Option<usize>,
}

/// Beyond these a file is damaged or hostile rather than large.
const LAYERS: usize = 1024;
const WIDTH: usize = 1 << 20;

impl Config {
    /// Reads `<architecture>.*` of a file and checks that it makes sense.
    pub fn read(file: &GgufFile) -> Result<Self, WeightError> {
        let arch = file.architecture()?;
        let number = |key: &str| file.need(GgufFile::usize, &format!("{arch}.{key}"));
        let optional = |key: &str| file.usize(&format!("{arch}.{key}"));
        let float_or = |key: &str, default: f32| file.f32(&format!("{arch}.{key}")).map(|x| x.unwrap_or(default));
        let (width, heads) = (number("embedding_length")?, number("attention.head_count")?);
        let tensor = "token_embd.weight";
        let embedding = file.tensor(tensor).ok_or_else(|| WeightError::Missing(tensor.to_owned()))?;
        let config = Self {
            layers: number("block_count")?,
            width,
            inner: number("feed_forward_length")?,
            heads,
            kv_heads: optional("attention.head_count_kv")?.unwrap_or(heads),
            head_dim: optional("attention.key_length")?.unwrap_or(width / heads.max(1)),
            vocabulary: embedding.shape.get(1).copied().unwrap_or(0),
            context_length: number("context_length")?,
            norm_epsilon: float_or("attention.layer_norm_rms_epsilon", 1e-6)?,
            rope_base: float_or("rope.freq_base", 10_000.0)?,
            rope_scale: float_or("rope.scaling.factor", 1.0)?,
            window: optional("attention.sliding_window")?,
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), WeightError> {
        let Self { layers, width, inner, heads, kv_heads, head_dim, vocabulary, context_length, .. } = *self;
        let rules = [
            ((1..=LAYERS).contains(&layers), format!("block_count is {layers}")),
            ((1..=WIDTH).contains(&width) && width % 32 == 0, format!("embedding_length is {width}")),
            ((1..=WIDTH).contains(&inner) && inner % 32 == 0, format!("feed_forward_length is {inner}")),
            ((1..=4096).contains(&heads), format!("attention.head_count is {heads}")),
            (
                kv_heads > 0 && heads % kv_heads.max(1) == 0,
                format!("{heads} heads do not share {kv_heads} key-value heads"),
            ),
            (head_dim > 0 && head_dim <= 1024 && head_dim % 16 == 0, format!("heads are {head_dim} wide")),
            (vocabulary > 0 && vocabulary <= 1 << 22, format!("the vocabulary has {vocabulary} tokens")),
            (context_length > 0, format!("context_length is {context_length}")),
            (
                self.norm_epsilon >= 0.0 && self.norm_epsilon < 1.0,
                format!("the norms' epsilon is {}", self.norm_epsilon),
            ),
            (self.rope_base > 1.0 && self.rope_base.is_finite(), format!("rope.freq_base is {}", self.rope_base)),
            (
                self.rope_scale > 0.0 && self.rope_scale.is_finite(),
                format!("rope.scaling.factor is {}", self.rope_scale),
            ),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            None => Ok(()),
            Some((_, what)) => {
                Err(WeightError::Hyperparameter(format!("{what}: the file is damaged or not supported")))
            }
        }
    }
}
