//! `SearchApis`: the same bounded queue as for embeddings, for a search embeds its question.

use std::sync::Arc;

use synod_proto::v1;
use tokio_util::sync::CancellationToken;

use crate::{
    apis::{
        Hit, Indexed, Library, Retriever,
        calling::{rerank, width},
    },
    host::Host,
    queue::RequestQueue,
    service::ServiceLimits,
    status::NodeError,
};

/// A search takes one thread.
const MAX_RUNNING: usize = 2;
const MAX_QUEUED: usize = 64;
const DEFAULT_K: usize = 5;
const MAX_K: usize = 100;

/// Searches a library. Clones share the queue.
#[derive(Debug, Clone)]
pub(crate) struct Search {
    library: Option<Arc<Library>>,
    queue: RequestQueue,
}

impl Search {
    pub(crate) fn new(library: Option<Arc<Library>>) -> Self {
        Self { library, queue: RequestQueue::new(MAX_RUNNING, MAX_QUEUED) }
    }

    /// Waits for a turn and searches on a thread of its own.
    pub(crate) async fn run(
        &self,
        host: &Host,
        request: v1::SearchApisRequest,
        limits: &ServiceLimits,
    ) -> Result<v1::SearchApisResponse, NodeError> {
        let library =
            self.library.clone().ok_or_else(|| NodeError::invalid("catalogue", "this node has no catalogues"))?;
        let (k, retriever) = (check(&request, limits)?, retriever(request.retriever()));
        let judge =
            if request.rerank_model.is_empty() { None } else { Some(host.engine(&request.rerank_model)?.clone()) };
        let turn = self.queue.turn().await?;
        let abandoned = CancellationToken::new();
        let _until_answered = abandoned.clone().drop_guard();
        let work = tokio::task::spawn_blocking(move || {
            let indexed = library.get(&request.catalogue)?;
            let found = if judge.is_some() { width(k) } else { k };
            let mut hits = indexed.search(&request.query, found, retriever)?;
            if let Some(engine) = judge {
                hits = rerank(&engine, &request.query, hits, &abandoned)?;
                hits.truncate(k);
            }
            drop(turn);
            Ok(response(&indexed, &hits))
        });
        work.await.map_err(|_| NodeError::TaskFailed("it searched for APIs"))?
    }
}

/// How many are wanted.
fn check(request: &v1::SearchApisRequest, limits: &ServiceLimits) -> Result<usize, NodeError> {
    if request.query.trim().is_empty() {
        return Err(NodeError::invalid("query", "say what should be done, in words"));
    }
    if request.query.len() > limits.max_prompt_bytes {
        let reason = format!("{} bytes are too many: send at most {}", request.query.len(), limits.max_prompt_bytes);
        return Err(NodeError::invalid("query", reason));
    }
    match request.k as usize {
        0 => Ok(DEFAULT_K),
        k if k <= MAX_K => Ok(k),
        k => Err(NodeError::invalid("k", format!("{k} are too many: ask for at most {MAX_K}"))),
    }
}

fn retriever(wire: v1::Retriever) -> Retriever {
    match wire {
        v1::Retriever::Unspecified | v1::Retriever::Hybrid => Retriever::Hybrid,
        v1::Retriever::Bm25 => Retriever::Bm25,
        v1::Retriever::Dense => Retriever::Dense,
    }
}

fn response(indexed: &Indexed, hits: &[Hit]) -> v1::SearchApisResponse {
    let hit = |Hit { api, score }: &Hit| v1::ApiHit {
        api: api.name.clone(),
        score: *score,
        // An `Api` has string keys only, so that it always becomes JSON.
        document_json: serde_json::to_string(api.as_ref()).unwrap_or_default(),
    };
    v1::SearchApisResponse { version: indexed.catalogue().version().to_owned(), hits: hits.iter().map(hit).collect() }
}
