//! The model that embeds documents and questions, loaded when it is first needed.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use synod_models::embed::Embedder;

use super::SearchError;

/// Told how many texts are embedded, of how many.
pub type EmbedProgress = Arc<dyn Fn(usize, usize) + Send + Sync>;

type Load = Box<dyn Fn() -> Result<Arc<Embedder>, String> + Send + Sync>;

/// An embedding model that is loaded when it is first needed.
pub struct LazyEmbedder {
    load: Load,
    loaded: Mutex<Option<Arc<Embedder>>>,
}

impl LazyEmbedder {
    /// `load` says why not, if it cannot; it is asked again the next time.
    pub fn new(load: impl Fn() -> Result<Arc<Embedder>, String> + Send + Sync + 'static) -> Self {
        Self { load: Box::new(load), loaded: Mutex::default() }
    }

    /// For who only wants to know what there is.
    #[must_use]
    pub fn none() -> Self {
        Self::new(|| Err("this process has no embedding model".to_owned()))
    }

    pub(super) fn get(&self) -> Result<Arc<Embedder>, SearchError> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(embedder) = &*loaded {
            return Ok(Arc::clone(embedder));
        }
        let embedder = (self.load)().map_err(|reason| SearchError::NoEmbedder { reason })?;
        Ok(Arc::clone(loaded.insert(embedder)))
    }
}

impl fmt::Debug for LazyEmbedder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LazyEmbedder").finish_non_exhaustive()
    }
}
