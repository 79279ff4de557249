//! What can go wrong with embeddings.

use std::{io, path::PathBuf};

use super::WeightError;

/// Why an embedding model could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file is not there, or cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file is larger than any of its kind.
    #[error("`{}` has {bytes} bytes, more than the {limit} that are read", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The most.
        limit: u64,
    },
    /// `config.json` is not a BERT's.
    #[error("`{}` is not the configuration of a BERT", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Where it departs.
        #[source]
        source: serde_json::Error,
    },
    /// `config.json` asks for what this reader does not do.
    #[error("`{}` cannot be used: {reason}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// `tokenizer.json` is damaged.
    #[error("`{}` is not a tokenizer", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What the tokenizer's reader said.
        #[source]
        source: tokenizers::Error,
    },
    /// `model.safetensors` is damaged, or is another model's.
    #[error("cannot load `{}`", path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: WeightError,
    },
}

/// Why texts could not be embedded.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// The tokenizer refused a text.
    #[error("cannot tokenise text {index}")]
    Tokenise {
        /// Which text, from 0.
        index: usize,
        /// What the tokenizer said.
        #[source]
        source: tokenizers::Error,
    },
    /// The model computed something that is not a number; its file may be damaged.
    #[error("the embedding of text {index} is not a number: check the file with `synod models verify`")]
    NotANumber {
        /// Which text, from 0.
        index: usize,
    },
    /// Whoever asked has gone.
    #[error("nobody waits for the embeddings any more")]
    Abandoned,
    /// The result could not be read back from the device.
    #[error("cannot read the embeddings from the device: {0}")]
    Device(String),
}
