//! `CallApi`: a request in words to a call, with the catalogues as they are at this moment; made, where that is asked for
//! and allowed.

use std::sync::Arc;

use synod_proto::v1;
use tokio_util::sync::CancellationToken;

use crate::{
    act,
    apis::{
        Call, Hit, Library, Retriever,
        calling::{
            Advice, Answered, CallError, CallOptions, Choice, Decision, Exchange, Retrieval, Standing, answer,
            document, render, standing,
        },
        execute::Executor,
    },
    drain::Running,
    host::{Host, wire},
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
/// The most pieces of advice: a stage has at most as many seats.
const MAX_ADVICE: usize = 64;

/// Makes calls from a library. Clones share the queue.
#[derive(Debug, Clone)]
pub(crate) struct Calls {
    library: Option<Arc<Library>>,
    /// None where this node carries nothing out for others.
    executor: Option<Arc<Executor>>,
    queue: RequestQueue,
}

impl Calls {
    pub(crate) fn new(library: Option<Arc<Library>>, executor: Option<Arc<Executor>>) -> Self {
        Self { library, executor, queue: RequestQueue::new(MAX_RUNNING, MAX_QUEUED) }
    }

    /// Waits for a turn, writes a call on a thread of its own, and makes it where it is to be made.
    pub(crate) async fn run(
        &self,
        host: &Host,
        request: v1::CallApiRequest,
        limits: &ServiceLimits,
        running: &Running,
    ) -> Result<v1::CallApiResponse, NodeError> {
        let library =
            self.library.clone().ok_or_else(|| NodeError::invalid("catalogues", "this node has no catalogues"))?;
        let retrieval = Retrieval {
            top_k: bounded("top_k", request.top_k, DEFAULT_TOP_K, MAX_TOP_K)?,
            retriever: Retriever::Hybrid,
            catalogues: request.catalogues.clone(),
        };
        let max_calls = bounded("max_calls", request.max_calls, 1, MAX_CALLS)?;
        let executor = if request.execute { Some(self.executor.clone().ok_or(NodeError::NotExecuted)?) } else { None };
        let (required, advice) = (request.required, advice(&request.advice)?);
        let engine = host.engine(&request.model)?.clone();
        let order = order(request, limits)?;
        let record = order.record.then(|| host.record(&order.model, &order.options)).transpose()?;
        let turn = self.queue.turn().await?;
        let abandoned = CancellationToken::new();
        let _until_answered = abandoned.clone().drop_guard();
        let work = tokio::task::spawn_blocking(move || {
            let options = CallOptions {
                choice: Choice::Judged,
                required,
                max_calls,
                max_tokens: order.options.max_tokens,
                sampling: order.options.sampling,
                record: record.is_some(),
                abandoned,
            };
            let answered = answer(&library, &retrieval, &engine, &order.messages, &options)?;
            Ok::<_, NodeError>((answered, record, turn))
        });
        let (answered, record, turn) = work.await.map_err(|_| NodeError::TaskFailed("it wrote a call"))??;
        let standing = standing(&answered, advice);
        let mut outcomes = Vec::new();
        if let (Some(executor), Decision::Calls(calls), false) =
            (executor, &answered.outcome.decision, standing.outvoted)
        {
            let wanted = |call: &Call| Some((Arc::clone(&named(&answered.retrieved, call)?.api), call.clone()));
            let calls = calls.iter().filter_map(wanted).collect();
            outcomes = act::carry_out(executor, calls, (turn, running.again())).await?;
        }
        Ok(response(answered, standing, outcomes, record.as_ref()))
    }
}

/// What others would call. Arguments that are no object are no advice.
fn advice(advised: &[v1::AdvisedCall]) -> Result<Vec<Advice>, NodeError> {
    if advised.len() > MAX_ADVICE {
        let reason = format!("{} pieces are too many: send at most {MAX_ADVICE}", advised.len());
        return Err(NodeError::invalid("advice", reason));
    }
    let read = |v1::AdvisedCall { api, arguments_json }: &v1::AdvisedCall| {
        if api.is_empty() {
            return Some(Advice { call: None });
        }
        let arguments = serde_json::from_str(arguments_json).ok()?;
        Some(Advice { call: Some(Call { api: api.clone(), arguments }) })
    };
    Ok(advised.iter().filter_map(read).collect())
}

fn named<'a>(retrieved: &'a [Hit], call: &Call) -> Option<&'a Hit> {
    retrieved.iter().find(|hit| hit.api.name == call.api)
}

/// The request as one to write, which has the same bounds; greedy where it does not say.
fn order(request: v1::CallApiRequest, limits: &ServiceLimits) -> Result<Order, NodeError> {
    let v1::CallApiRequest { model, messages, sampling, run_id, record, .. } = request;
    let greedy = v1::Sampling { temperature: Some(0.0), ..Default::default() };
    let sampling = Some(sampling.unwrap_or(greedy));
    Order::try_new(v1::GenerateStart { model, messages, sampling, run_id, record, ..Default::default() }, limits)
}

fn bounded(field: &'static str, asked: u32, default: usize, most: usize) -> Result<usize, NodeError> {
    match asked as usize {
        0 => Ok(default),
        count if count <= most => Ok(count),
        count => Err(NodeError::invalid(field, format!("{count} are too many: ask for at most {most}"))),
    }
}

fn response(
    Answered { retrieved, outcome, ms }: Answered,
    Standing { votes, voters, outvoted }: Standing,
    outcomes: Vec<v1::ApiOutcome>,
    record: Option<&v1::PromptRecord>,
) -> v1::CallApiResponse {
    let (mut calls, mut missing) = (Vec::new(), None);
    match outcome.decision {
        Decision::Calls(all) => {
            for call in all {
                let hit = named(&retrieved, &call);
                let (rendered, document) =
                    hit.map(|hit| (render(&call, &hit.api), document(&hit.api))).unwrap_or_default();
                let arguments_json = serde_json::Value::Object(call.arguments).to_string();
                calls.push(v1::ApiCall { api: call.api, arguments_json, rendered, document });
            }
        }
        Decision::Missing { api, arguments } => missing = Some(v1::MissingArguments { api, arguments }),
        Decision::NoCall => {}
    }
    let found = |hit: &Hit| v1::RetrievedApi { api: hit.api.name.clone(), score: hit.score };
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
        exchanges: record.map(|record| exchanges(outcome.exchanges, record)).unwrap_or_default(),
        outcomes,
        votes: wire(votes),
        voters: wire(voters),
        outvoted,
    }
}

/// What a record says of each exchange; `record` is what it says of all.
fn exchanges(exchanges: Vec<Exchange>, record: &v1::PromptRecord) -> Vec<v1::ApiExchange> {
    let told = |exchange: Exchange| {
        let Exchange { purpose, prompt, schema, text, tokens, cached_prompt_tokens, completion_tokens, took } =
            exchange;
        let usage = v1::Usage {
            prompt_tokens: wire(prompt.ids().len()),
            completion_tokens: wire(completion_tokens),
            cached_prompt_tokens: wire(cached_prompt_tokens),
        };
        let token = |(id, logprob)| v1::TokenLogprob { id, logprob, ..Default::default() };
        v1::ApiExchange {
            purpose,
            prompt: Some(v1::PromptRecord { stretches: vec![prompt.into_wire()], ..record.clone() }),
            schema,
            text,
            tokens: tokens.into_iter().map(token).collect(),
            usage: Some(usage),
            ms: u32::try_from(took.as_millis()).unwrap_or(u32::MAX),
        }
    };
    exchanges.into_iter().map(told).collect()
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
