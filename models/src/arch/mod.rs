//! Architectures, one file each, as burn modules.

pub mod bert;
mod config;
mod gemma3;
mod llama;
mod qwen2;

use burn::tensor::{Device, Tensor};
use synod_kernels::{KvShape, rope::Rope};

pub use config::Config;

use crate::{
    gguf::GgufFile,
    nn::{Loader, Step, WeightError},
};

/// A causal language model: tokens of a ragged batch in, logits of the rows that were asked for out.
pub trait CausalLm: Send {
    /// `[rows]` ids → `[step.outputs, vocabulary]` logits; none if the pass was given up because nobody wanted it any more.
    fn forward(&self, tokens: &[u32], step: &Step) -> Option<Tensor<2>>;
    /// Its hyperparameters.
    fn config(&self) -> &Config;
    /// Its rotary embeddings, in the order of `Step::angles`.
    fn ropes(&self) -> &[Rope];
    /// What it keeps of a token.
    fn kv_shape(&self) -> KvShape {
        let config = self.config();
        KvShape { layers: config.layers, kv_heads: config.kv_heads, head_dim: config.head_dim }
    }
}

/// Builds the model that a file's `general.architecture` names.
pub fn load(file: &GgufFile, device: &Device) -> Result<Box<dyn CausalLm>, WeightError> {
    build(file, Config::read(file)?, Loader::new(file, device))
}

/// A model that consists of some `layers` of the file's, to measure them.
pub(crate) fn load_layers(
    file: &GgufFile,
    layers: &[usize],
    device: &Device,
) -> Result<Box<dyn CausalLm>, WeightError> {
    let config = Config { layers: layers.len(), ..Config::read(file)? };
    build(file, config, Loader::new(file, device).with_layers(layers))
}

fn build(file: &GgufFile, config: Config, loader: Loader<'_>) -> Result<Box<dyn CausalLm>, WeightError> {
    Ok(match file.architecture()? {
        "llama" => Box::new(llama::Llama::load(config, &loader)?),
        "qwen2" => Box::new(qwen2::Qwen2::load(config, &loader)?),
        "gemma3" => Box::new(gemma3::Gemma3::load(config, &loader)?),
        other => {
            let known = "llama, qwen2, gemma3";
            return Err(WeightError::Hyperparameter(format!(
                "architecture `{other}` is not supported (known: {known})"
            )));
        }
    })
}
