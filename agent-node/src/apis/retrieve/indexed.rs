//! A catalogue with what it takes to search it.

use std::{
    collections::HashSet,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use super::{
    EmbedProgress, Hit, LazyEmbedder, Retriever, SearchError,
    dense::{self, Dense},
    fuse,
    lexical::Lexical,
    texts,
    vectors::Vectors,
};
use crate::apis::catalogue::Catalogue;

/// Bytes of a question that are read.
const MAX_QUERY_BYTES: usize = 8 << 10;

/// A version of a catalogue, ready to be searched. Each index is built when it is first needed.
#[derive(Debug)]
pub struct Indexed {
    catalogue: Catalogue,
    embedder: Arc<LazyEmbedder>,
    /// Embeddings that were computed before.
    vectors: PathBuf,
    lexical: OnceLock<Lexical>,
    dense: Mutex<Option<Arc<Dense>>>,
}

impl Indexed {
    pub(crate) fn new(catalogue: Catalogue, embedder: Arc<LazyEmbedder>, vectors: PathBuf) -> Self {
        Self { catalogue, embedder, vectors, lexical: OnceLock::new(), dense: Mutex::default() }
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
        let query = &query[..query.floor_char_boundary(MAX_QUERY_BYTES)];
        let scores = match retriever {
            Retriever::Bm25 => self.by_words(query),
            Retriever::Dense => self.by_meaning(query)?,
            Retriever::Hybrid => fuse::fused(&self.by_meaning(query)?, &self.by_words(query)),
        };
        let least = if retriever == Retriever::Bm25 { f32::MIN_POSITIVE } else { f32::NEG_INFINITY };
        let hit = |(index, score): (usize, f32)| Hit { api: Arc::clone(&self.catalogue.apis()[index]), score };
        Ok(fuse::best(&scores, k, least).into_iter().map(hit).collect())
    }

    fn by_words(&self, query: &str) -> Vec<f32> {
        self.lexical.get_or_init(|| Lexical::of(&self.catalogue)).scores(query)
    }

    fn by_meaning(&self, query: &str) -> Result<Vec<f32>, SearchError> {
        let dense = self.dense(&(Arc::new(|_, _| {}) as EmbedProgress))?;
        let embeddings = self.embedder.get()?.embed(&[query.to_owned()]).map_err(SearchError::Embed)?;
        let query = embeddings.first().map(|embedding| dense::quantise(&embedding.values));
        Ok(query.map_or_else(Vec::new, |query| dense.scores(&query)))
    }

    /// Computes the embeddings that are missing and keeps them on disk.
    pub(crate) fn embed(&self, progress: &EmbedProgress) -> Result<(), SearchError> {
        self.dense(progress).map(drop)
    }

    fn dense(&self, progress: &EmbedProgress) -> Result<Arc<Dense>, SearchError> {
        let mut dense = self.dense.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(dense) = &*dense {
            return Ok(Arc::clone(dense));
        }
        let embedder = self.embedder.get()?;
        let mut vectors = Vectors::read(&self.vectors, embedder.dimension());
        let (built, computed) = Dense::of(&self.catalogue, &mut vectors, &embedder, progress)?;
        if computed > 0 {
            let passages = self.catalogue.apis().iter().flat_map(|api| texts::passages(api));
            let wanted: HashSet<_> = passages.map(|text| dense::key(&text)).collect();
            // Without the file the next process computes them again.
            if let Err(error) = vectors.write(&self.vectors, |key| wanted.contains(key)) {
                tracing::warn!(error = %error, "the embeddings are not kept");
            }
        }
        Ok(Arc::clone(dense.insert(Arc::new(built))))
    }
}
