//! `CallApi`: a request in words to a call, with the catalogues as they are at this moment.

use std::sync::Arc;

use synod_models::engine::Engine;
use synod_proto::v1;
use tokio_util::sync::CancellationToken;

use crate::{
    apis::{
        Library, Retriever,
        calling::{Answered, CallError, CallOptions, Choice, Decision, Retrieval, answer, document, render},
    },
    host::wire,
    queue::RequestQueue,
    request::Order,
    service::ServiceLimits,
    status::NodeError,
};

/// Calls that are made at once; each keeps a thread waiting for its engine.
const MAX_RUNNING: usize = 8;
const MAX_QUEUED: usize = 64;
const DEFAULT_TOP_K: usize = 5;
const MAX_TOP_K: usize = 64;
const MAX_CALLS: usize = 16;

/// Makes calls from a library. Clones share the queue.
#[derive(Debug, Clone)]
pub(crate) struct Calls {
    library: Option<Arc<Library>>,
    queue: RequestQueue,
}

impl Calls {
    pub(crate) fn new(library: Option<Arc<Library>>) -> Self {
        Self { library, queue: RequestQueue::new(MAX_RUNNING, MAX_QUEUED) }
    }

    /// Waits for a turn and calls on a thread of its own.
    pub(crate) async fn run(
        &self,
        engine: Engine,
        request: v1::CallApiRequest,
        limits: &ServiceLimits,
    ) -> Result<v1::CallApiResponse, NodeError> {
        let library =
            self.library.clone().ok_or_else(|| NodeError::invalid("catalogues", "this node has no catalogues"))?;
        let retrieval = Retrieval {
            top_k: bounded("top_k", request.top_k, DEFAULT_TOP_K, MAX_TOP_K)?,
            retriever: Retriever::Hybrid,
            catalogues: request.catalogues.clone(),
        };
        let max_calls = bounded("max_calls", request.max_calls, 1, MAX_CALLS)?;
        let order = order(request, limits)?;
        let turn = self.queue.turn().await?;
        let abandoned = CancellationToken::new();
        let _until_answered = abandoned.clone().drop_guard();
        let work = tokio::task::spawn_blocking(move || {
            let options = CallOptions {
                choice: Choice::Judged,
                max_calls,
                max_tokens: order.options.max_tokens,
                sampling: order.options.sampling,
                abandoned,
            };
            let answered = answer(&library, &retrieval, &engine, &order.messages, &options)?;
            drop(turn);
            Ok(response(answered))
        });
        work.await.map_err(|_| NodeError::TaskFailed("it wrote a call"))?
    }
}

/// The request as one to write, which has the same bounds; greedy where it does not say.
fn order(request: v1::CallApiRequest, limits: &ServiceLimits) -> Result<Order, NodeError> {
    let v1::CallApiRequest { model, messages, sampling, run_id, .. } = request;
    let greedy = v1::Sampling { temperature: Some(0.0), ..Default::default() };
    let sampling = Some(sampling.unwrap_or(greedy));
    Order::try_new(v1::GenerateStart { model, messages, sampling, run_id, ..Default::default() }, limits)
}

fn bounded(field: &'static str, asked: u32, default: usize, most: usize) -> Result<usize, NodeError> {
    match asked as usize {
        0 => Ok(default),
        count if count <= most => Ok(count),
        count => Err(NodeError::invalid(field, format!("{count} are too many: ask for at most {most}"))),
    }
}

fn response(answered: Answered) -> v1::CallApiResponse {
    let Answered { retrieved, outcome, ms } = answered;
    let (mut calls, mut missing) = (Vec::new(), None);
    match outcome.decision {
        Decision::Calls(all) => {
            for call in all {
                let hit = retrieved.iter().find(|hit| hit.api.name == call.api);
                let (rendered, document) =
                    hit.map(|hit| (render(&call, &hit.api), document(&hit.api))).unwrap_or_default();
                let arguments_json = serde_json::Value::Object(call.arguments).to_string();
                calls.push(v1::ApiCall { api: call.api, arguments_json, rendered, document });
            }
        }
        Decision::Missing { api, arguments } => missing = Some(v1::MissingArguments { api, arguments }),
        Decision::NoCall => {}
    }
    let found = |hit: &crate::apis::Hit| v1::RetrievedApi { api: hit.api.name.clone(), score: hit.score };
    v1::CallApiResponse {
        calls,
        missing,
        retrieved: retrieved.iter().map(found).collect(),
        confidence: outcome.confidence,
        usage: Some(v1::Usage {
            prompt_tokens: wire(outcome.spent.prompt_tokens),
            completion_tokens: wire(outcome.spent.completion_tokens),
            cached_prompt_tokens: 0,
        }),
        ms,
    }
}

impl From<CallError> for NodeError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::NoRequest => Self::invalid("messages", "the last one must be the request"),
            CallError::Library(error) => Self::Library(error),
            CallError::Search(error) => Self::Search(error),
            CallError::Template(error) => Self::Template(error),
            CallError::Engine(error) => Self::Engine(error),
            error => Self::Call(error),
        }
    }
}
