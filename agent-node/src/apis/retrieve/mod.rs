//! Finding the APIs that fit a question.

mod dense;
mod embedder;
mod fuse;
mod indexed;
mod lexical;
mod texts;
mod vectors;

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use super::Api;

pub use embedder::{EmbedProgress, LazyEmbedder};
pub use indexed::Indexed;

/// How documents are ranked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retriever {
    /// By words and by meaning, fused.
    Hybrid,
    /// By the words they share with the question (Okapi BM25).
    Bm25,
    /// By the dot product of sentence embeddings.
    Dense,
}

impl Retriever {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Hybrid, Self::Bm25, Self::Dense];

    /// What it is called on a command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hybrid => "hybrid",
            Self::Bm25 => "bm25",
            Self::Dense => "dense",
        }
    }

    /// The retriever of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|retriever| retriever.name() == name)
    }
}

impl fmt::Display for Retriever {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// An API that was found.
#[derive(Debug, Clone)]
pub struct Hit {
    /// The API.
    pub api: Arc<Api>,
    /// Larger is better; comparable within one search only.
    pub score: f32,
}

/// Why nothing could be searched.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// There is no model for the questions.
    #[error(
        "cannot search by meaning: {reason}; search with the retriever bm25, or `synod models pull all-minilm-l6-v2`"
    )]
    NoEmbedder {
        /// Why not.
        reason: String,
    },
    /// The question could not be embedded.
    #[error("cannot embed the question")]
    Embed(#[source] synod_models::embed::EmbedError),
}
