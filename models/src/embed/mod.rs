//! Sentence embeddings: texts to unit vectors whose dot product says how alike they are.

mod error;
mod weights;

#[cfg(test)]
mod tests;

use std::{
    fs,
    path::{Path, PathBuf},
};

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use tokenizers::{Encoding, PostProcessor, Tokenizer, TruncationParams};

pub use error::{EmbedError, LoadError};
pub use weights::{WeightError, Weights};

use crate::arch::bert::{Bert, BertConfig, BertInput};

/// Sentence-BERT's `max_seq_length` for the models of this family: they were not trained on longer texts.
const MAX_TOKENS: usize = 256;

/// Padded tokens that are computed at once. Attention scores are the largest thing in memory: 12 heads × 256² × 4 bytes,
/// 3 MB, for each 256 of these.
const TOKENS_PER_BATCH: usize = 2048;

const MAX_CONFIG_BYTES: u64 = 1 << 20;
const MAX_TOKENIZER_BYTES: u64 = 64 << 20;
const MAX_WEIGHTS_BYTES: u64 = 4 << 30;

/// A text as a vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// Of length one.
    pub values: Vec<f32>,
    /// Tokens that were read, the model's own marks at both ends included.
    pub tokens: usize,
    /// Whether the text goes on beyond the model's limit; what is there was not read.
    pub truncated: bool,
}

/// A sentence encoder and its tokenizer.
#[derive(Debug)]
pub struct Embedder {
    tokenizer: Tokenizer,
    model: Bert,
    device: Device,
    dimension: usize,
    max_tokens: usize,
    size_bytes: u64,
}

impl Embedder {
    /// Reads `config.json`, `tokenizer.json` and `model.safetensors` of the directory. Blocks for as long as that takes.
    ///
    /// # Errors
    /// When a file is missing or damaged, or they do not belong together.
    pub fn load(dir: &Path) -> Result<Self, LoadError> {
        let config = read_config(dir.join("config.json"))?;
        let max_tokens = MAX_TOKENS.min(config.max_position_embeddings);
        let tokenizer = read_tokenizer(dir.join("tokenizer.json"), max_tokens, config.vocab_size)?;
        let path = dir.join("model.safetensors");
        let bytes = read(&path, MAX_WEIGHTS_BYTES)?;
        let device = Device::flex();
        let model = Weights::parse(&bytes)
            .and_then(|weights| config.init(&weights, &device))
            .map_err(|source| LoadError::Weights { path, source })?;
        let (dimension, size_bytes) = (config.hidden_size, bytes.len() as u64);
        Ok(Self { tokenizer, model, device, dimension, max_tokens, size_bytes })
    }

    /// Values of each vector.
    #[must_use]
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// Tokens of a text that are read; a text with more is embedded up to there and marked `truncated`.
    #[must_use]
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// The weights file's size.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// One embedding a text, in their order. Blocks for as long as that takes.
    ///
    /// # Errors
    /// When a text cannot be tokenised, or the model is damaged.
    pub fn embed(&self, texts: &[String]) -> Result<Vec<Embedding>, EmbedError> {
        self.embed_while(texts, || true)
    }

    /// As [`embed`](Self::embed), for as long as somebody wants it: asked before each batch of some 2,000 tokens.
    ///
    /// # Errors
    /// Those of [`embed`](Self::embed), and `Abandoned` once it is not `wanted`.
    pub fn embed_while(&self, texts: &[String], wanted: impl Fn() -> bool) -> Result<Vec<Embedding>, EmbedError> {
        let encode = |(index, text): (usize, &String)| {
            self.tokenizer.encode_fast(text.as_str(), true).map_err(|source| EmbedError::Tokenise { index, source })
        };
        let encodings = texts.iter().enumerate().map(encode).collect::<Result<Vec<_>, _>>()?;
        let mut values = vec![Vec::new(); texts.len()];
        for batch in batches(&encodings.iter().map(Encoding::len).collect::<Vec<_>>()) {
            if !wanted() {
                return Err(EmbedError::Abandoned);
            }
            let rows = self.forward(batch.iter().map(|&index| encodings[index].get_ids()).collect())?;
            for (&index, row) in batch.iter().zip(rows) {
                if row.iter().any(|value| !value.is_finite()) {
                    return Err(EmbedError::NotANumber { index });
                }
                values[index] = row;
            }
        }
        let embedding = |(encoding, values): (&Encoding, Vec<f32>)| Embedding {
            values,
            tokens: encoding.len(),
            truncated: !encoding.get_overflowing().is_empty(),
        };
        Ok(encodings.iter().zip(values).map(embedding).collect())
    }

    /// One vector a sequence.
    fn forward(&self, sequences: Vec<&[u32]>) -> Result<Vec<Vec<f32>>, EmbedError> {
        let seq = sequences.iter().map(|ids| ids.len()).max().unwrap_or(0);
        let shape = [sequences.len(), seq];
        let padded = |ids: &&[u32]| ids.iter().map(|&id| i64::from(id)).chain(std::iter::repeat(0)).take(seq).collect();
        let ids: Vec<i64> = sequences.iter().flat_map(|ids| -> Vec<i64> { padded(ids) }).collect();
        let padding: Vec<bool> = sequences.iter().flat_map(|ids| (0..seq).map(|at| at >= ids.len())).collect();
        let input = BertInput {
            ids: Tensor::<2, Int>::from_data(TensorData::new(ids, shape), &self.device),
            padding: Tensor::<2, Bool>::from_data(TensorData::new(padding, shape), &self.device),
        };
        let embeddings = self.model.sentence_embeddings(input);
        let values: Vec<f32> = embeddings.try_into_vec_as().map_err(|error| EmbedError::Device(error.to_string()))?;
        Ok(values.chunks_exact(self.dimension).map(<[f32]>::to_vec).collect())
    }
}

/// Indices of sequences to compute together: of like length, so that little is padded, and `TOKENS_PER_BATCH` at most.
fn batches(lengths: &[usize]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&index| lengths[index]);
    let mut batches: Vec<Vec<usize>> = Vec::new();
    for index in order {
        match batches.last_mut() {
            // Lengths ascend: the batch is as wide as the one that joins it.
            Some(batch) if (batch.len() + 1) * lengths[index] <= TOKENS_PER_BATCH => batch.push(index),
            _ => batches.push(vec![index]),
        }
    }
    batches
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, LoadError> {
    let failed = |source| LoadError::Read { path: path.to_owned(), source };
    let bytes = fs::metadata(path).map_err(failed)?.len();
    if bytes > limit {
        return Err(LoadError::TooLarge { path: path.to_owned(), bytes, limit });
    }
    fs::read(path).map_err(failed)
}

fn read_config(path: PathBuf) -> Result<BertConfig, LoadError> {
    let bytes = read(&path, MAX_CONFIG_BYTES)?;
    let config: BertConfig = match serde_json::from_slice(&bytes) {
        Ok(config) => config,
        Err(source) => return Err(LoadError::Config { path, source }),
    };
    let BertConfig { hidden_size, num_attention_heads: heads, hidden_act, .. } = &config;
    let reason = if *heads == 0 || *hidden_size == 0 || hidden_size % heads != 0 {
        format!("hidden_size {hidden_size} does not divide into {heads} heads")
    } else if hidden_act != "gelu" {
        format!("the activation `{hidden_act}` is not known, only `gelu`")
    } else if config.type_vocab_size == 0 {
        "type_vocab_size is 0".to_owned()
    } else if config.max_position_embeddings < 3 {
        "max_position_embeddings leaves no room for a token between the marks".to_owned()
    } else {
        return Ok(config);
    };
    Err(LoadError::Unsupported { path, reason })
}

/// The file's own truncation and padding are replaced: they are settings of whoever exported it.
fn read_tokenizer(path: PathBuf, max_tokens: usize, vocab_size: usize) -> Result<Tokenizer, LoadError> {
    let bytes = read(&path, MAX_TOKENIZER_BYTES)?;
    let truncation = TruncationParams { max_length: max_tokens, ..Default::default() };
    let read = || -> tokenizers::Result<Tokenizer> {
        let mut tokenizer = Tokenizer::from_bytes(&bytes)?;
        let marks = tokenizer.get_post_processor().map_or(0, |processor| processor.added_tokens(false));
        if marks >= max_tokens {
            return Err(format!("it adds {marks} tokens to each text, and the model reads {max_tokens}").into());
        }
        tokenizer.with_padding(None).with_truncation(Some(truncation))?;
        Ok(tokenizer)
    };
    let tokenizer = match read() {
        Ok(tokenizer) => tokenizer,
        Err(source) => return Err(LoadError::Tokenizer { path, source }),
    };
    // An id without a row in the embedding table would end the process when it is looked up, and a mean over no tokens
    // is not a number.
    let reason = match tokenizer.get_vocab(true).into_values().max() {
        Some(id) if id as usize >= vocab_size => {
            format!("it has the token id {id}, and the model a vocabulary of {vocab_size}")
        }
        _ if tokenizer.encode_fast("", true).is_ok_and(|marks| marks.is_empty()) => {
            "it does not mark where a text begins and ends".to_owned()
        }
        _ => return Ok(tokenizer),
    };
    Err(LoadError::Unsupported { path, reason })
}
