//! The RPCs of `synod.v1.NodeService`, each bounded by its deadline and by the node's end.

use std::{sync::Arc, time::Duration};

use synod_proto::v1::{
    CallApiRequest, CallApiResponse, DescribeRequest, DescribeResponse, EmbedRequest, EmbedResponse, GenerateRequest,
    SearchApisRequest, SearchApisResponse, Usage, node_service_server,
};
use synod_telemetry::{
    Parent,
    names::attribute,
    spans::{self, Tokens},
};
use tonic::{Request, Response, Status, Streaming};

use crate::{
    apis::{Library, execute::Executor},
    call::Calls,
    drain::Drain,
    embed, generate,
    host::Host,
    monitor::Monitor,
    search::Search,
    stream::{Deadline, GenerateStream},
    told::{self, Told},
};

/// The most that one request may ask for.
#[derive(Debug, Clone, Copy)]
pub struct ServiceLimits {
    /// All text of a request together.
    pub max_prompt_bytes: usize,
    /// Parts of one prompt.
    pub max_parts: usize,
    /// Texts of one `Embed`.
    pub max_embed_texts: usize,
    /// How long `Generate` waits for its first message.
    pub start_timeout: Duration,
    /// How long a request may take when it does not say, or says more.
    pub max_deadline: Duration,
}

impl ServiceLimits {
    /// For contexts of up to 32,768 tokens or so, and machines without a GPU.
    #[must_use]
    pub fn recommended() -> Self {
        Self {
            max_prompt_bytes: 1 << 20,
            max_parts: 1024,
            max_embed_texts: 256,
            start_timeout: Duration::from_secs(10),
            max_deadline: Duration::from_secs(30 * 60),
        }
    }
}

/// Serves a host's models. Clones share them.
#[derive(Clone)]
pub(crate) struct NodeService {
    host: Arc<Host>,
    node_id: String,
    limits: ServiceLimits,
    drain: Drain,
    search: Search,
    calls: Calls,
    monitor: Arc<Monitor>,
}

impl NodeService {
    pub(crate) fn new(
        host: Arc<Host>,
        node_id: String,
        limits: ServiceLimits,
        drain: Drain,
        (library, executor): (Option<Arc<Library>>, Option<Arc<Executor>>),
        monitor: Arc<Monitor>,
    ) -> Self {
        let (search, calls) = (Search::new(library.clone()), Calls::new(library, executor));
        Self { host, node_id, limits, drain, search, calls, monitor }
    }
}

#[tonic::async_trait]
impl node_service_server::NodeService for NodeService {
    type GenerateStream = GenerateStream;

    async fn generate(&self, request: Request<Streaming<GenerateRequest>>) -> Result<Response<GenerateStream>, Status> {
        let running = self.drain.admit()?;
        let deadline = Deadline::of(request.metadata(), self.limits.max_deadline);
        let parent = Parent::of(request.metadata().as_ref());
        let tell = |model: &str| Told::new(&self.monitor, model, &parent);
        let mut requests = request.into_inner();
        let admission = generate::admit(&self.host, &mut requests, &self.limits, tell);
        let admission = deadline.within(self.limits.start_timeout).bound("it waited for the first message", admission);
        let admitted = running.bound(admission).await?;
        // The head goes out now: callers may wait for it before they send parts.
        let events = generate::respond(admitted, requests, self.limits);
        Ok(Response::new(GenerateStream::new(events, deadline, running)))
    }

    async fn embed(&self, request: Request<EmbedRequest>) -> Result<Response<EmbedResponse>, Status> {
        let running = self.drain.admit()?;
        let deadline = Deadline::of(request.metadata(), self.limits.max_deadline);
        let parent = Parent::of(request.metadata().as_ref());
        let EmbedRequest { model, texts } = request.into_inner();
        let encoder = self.host.encoder(&model)?;
        let span = spans::embedding_served(&model, &parent);
        let embeddings = deadline.bound("it embedded texts", embed::embed(encoder, texts, &self.limits));
        let embedded = told::ended(&span, running.bound(embeddings).await)?;
        spans::set(&span, attribute::INPUT_TOKENS, i64::from(embedded.prompt_tokens));
        Ok(Response::new(embedded))
    }

    async fn search_apis(&self, request: Request<SearchApisRequest>) -> Result<Response<SearchApisResponse>, Status> {
        let running = self.drain.admit()?;
        let deadline = Deadline::of(request.metadata(), self.limits.max_deadline);
        let found =
            deadline.bound("it searched for APIs", self.search.run(&self.host, request.into_inner(), &self.limits));
        Ok(Response::new(running.bound(found).await?))
    }

    async fn call_api(&self, request: Request<CallApiRequest>) -> Result<Response<CallApiResponse>, Status> {
        let running = self.drain.admit()?;
        let deadline = Deadline::of(request.metadata(), self.limits.max_deadline);
        let parent = Parent::of(request.metadata().as_ref());
        let request = request.into_inner();
        let span = spans::served(&request.model, &parent);
        let called = deadline.bound("it wrote a call", self.calls.run(&self.host, request, &self.limits, &running));
        let called = told::ended(&span, running.bound(called).await)?;
        let Usage { prompt_tokens, cached_prompt_tokens, completion_tokens } = called.usage.unwrap_or_default();
        let tokens = Tokens { input: prompt_tokens, cached: cached_prompt_tokens, output: completion_tokens };
        spans::finished(&span, "stop", tokens);
        Ok(Response::new(called))
    }

    async fn describe(&self, _: Request<DescribeRequest>) -> Result<Response<DescribeResponse>, Status> {
        Ok(Response::new(DescribeResponse {
            node_id: self.node_id.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            models: self.host.describe(),
        }))
    }
}
