//! From a request in words to a call, through a library of catalogues.

use std::{sync::Arc, time::Instant};

use synod_models::{engine::Engine, text::ChatMessage};

use super::{CallError, CallOptions, Candidate, Outcome, call};
use crate::apis::{Api, Hit, Library, Retriever};

/// The most documents of one request.
const MAX_DOCUMENTS: usize = 64;

/// Where a request's documents come from.
#[derive(Debug, Clone)]
pub struct Retrieval {
    /// Which catalogues; all of the library where there are none.
    pub catalogues: Vec<String>,
    /// How documents are found.
    pub retriever: Retriever,
    /// How many are looked at.
    pub top_k: usize,
}

/// What came of a request, and what was found for it.
#[derive(Debug, Clone)]
pub struct Answered {
    /// Best first.
    pub retrieved: Vec<Hit>,
    /// What is to be done.
    pub outcome: Outcome,
    /// From the request to the outcome.
    pub ms: u64,
}

/// Finds documents for the request that ends `conversation`, as the catalogues are at this moment, and calls. Blocks.
///
/// # Errors
/// When nothing can be searched, and those of [`call`].
pub fn answer(
    library: &Library,
    retrieval: &Retrieval,
    engine: &Engine,
    conversation: &[ChatMessage],
    options: &CallOptions,
) -> Result<Answered, CallError> {
    let started = Instant::now();
    let request = conversation.last().ok_or(CallError::NoRequest)?;
    let retrieved = retrieve(library, retrieval, &request.content)?;
    let outcome = call(engine, conversation, &candidates(&retrieved), options)?;
    Ok(Answered { retrieved, outcome, ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX) })
}

/// The best documents of all catalogues together. Where two have an API of one name, the better one stands for it.
fn retrieve(library: &Library, retrieval: &Retrieval, request: &str) -> Result<Vec<Hit>, CallError> {
    let k = retrieval.top_k.clamp(1, MAX_DOCUMENTS);
    let names = if retrieval.catalogues.is_empty() { library.names()? } else { retrieval.catalogues.clone() };
    if names.is_empty() {
        return Err(CallError::NoCatalogue);
    }
    let mut hits: Vec<Hit> = Vec::new();
    for name in &names {
        hits.extend(library.get(name)?.search(request, k, retrieval.retriever)?);
    }
    hits.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut best: Vec<Hit> = Vec::new();
    for hit in hits {
        if best.len() < k && !best.iter().any(|other| other.api.name == hit.api.name) {
            best.push(hit);
        }
    }
    Ok(best)
}

/// Documents with what their ranks say: the odds of a document fall with its rank (Zipf), whatever scores mean.
#[must_use]
pub fn candidates(hits: &[Hit]) -> Vec<Candidate> {
    hits.iter().enumerate().map(|(rank, hit)| ranked(&hit.api, rank)).collect()
}

/// A document at this place of a search, from 0.
#[must_use]
pub fn ranked(api: &Arc<Api>, rank: usize) -> Candidate {
    Candidate { api: Arc::clone(api), prior: -((rank + 1) as f64).ln() }
}
