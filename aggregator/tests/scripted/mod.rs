//! A real gRPC node without a model: it says what its script has for each model.

pub(crate) mod freezing;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures::{Stream, StreamExt, stream};
use synod_proto::v1::{
    CallApiRequest, CallApiResponse, DescribeRequest, DescribeResponse, EmbedRequest, EmbedResponse, FinishReason,
    GenerateAccepted, GenerateFinished, GenerateRequest, GenerateResponse, HostedModel, ModelKind, SearchApisRequest,
    SearchApisResponse, TokenDelta, TokenLogprob, Usage, generate_request,
    generate_response::Event,
    node_service_server::{NodeService, NodeServiceServer},
};
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, Streaming, transport::Server};

/// What a model does on the node.
#[derive(Clone)]
pub(crate) enum Script {
    Say(&'static str),
    /// Says this and then nothing more.
    Stall(&'static str),
    Refuse(Status),
}

/// A node that runs until it is dropped, and then is gone at once, connections and all: it has a runtime of its own,
/// because tonic spawns a task for each connection that would outlive its server.
pub(crate) struct ScriptedNode {
    pub(crate) address: SocketAddr,
    /// Calls that are being read or answered now.
    pub(crate) open: Arc<AtomicUsize>,
    runtime: Option<Runtime>,
}

impl ScriptedNode {
    pub(crate) async fn start(id: &'static str, models: &[(&'static str, Script)]) -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into(), id, models).await
    }

    /// On a port where another has been.
    pub(crate) async fn start_at(address: SocketAddr, id: &'static str, models: &[(&'static str, Script)]) -> Self {
        // A std listener: a tokio one would belong to the runtime of the test.
        let listener = std::net::TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let open = Arc::new(AtomicUsize::new(0));
        let models = models.iter().cloned().collect();
        let service = NodeServiceServer::new(Service { id, models, open: Arc::clone(&open) });
        let (health, health_service) = tonic_health::server::health_reporter();
        health.set_serving::<NodeServiceServer<Service>>().await;
        let router = Server::builder().add_service(health_service).add_service(service);
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            router.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
        });
        Self { address, open, runtime: Some(runtime) }
    }
}

impl Drop for ScriptedNode {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

struct Service {
    id: &'static str,
    models: BTreeMap<&'static str, Script>,
    open: Arc<AtomicUsize>,
}

#[tonic::async_trait]
impl NodeService for Service {
    type GenerateStream = Pin<Box<dyn Stream<Item = Result<GenerateResponse, Status>> + Send>>;

    async fn generate(
        &self,
        request: Request<Streaming<GenerateRequest>>,
    ) -> Result<Response<Self::GenerateStream>, Status> {
        assert!(request.metadata().contains_key("grpc-timeout"), "the deadline is handed down");
        let mut messages = request.into_inner();
        let Some(generate_request::Message::Start(start)) = messages.message().await?.and_then(|first| first.message)
        else {
            return Err(Status::invalid_argument("the first message must be start"));
        };
        let open = Open::new(&self.open);
        let mut parts = 0;
        while messages.message().await?.is_some() {
            parts += 1;
        }
        let script = self.models.get(start.model.as_str()).ok_or_else(|| Status::not_found("no such model"))?;
        let accepted = Event::Accepted(GenerateAccepted { prompt_tokens: parts, ..GenerateAccepted::default() });
        let events = match script.clone() {
            Script::Refuse(status) => return Err(status),
            Script::Say(text) => {
                stream::iter(std::iter::once(accepted).chain(words(text)).chain([finished(parts, text)])).boxed()
            }
            Script::Stall(text) => {
                stream::iter(std::iter::once(accepted).chain(words(text))).chain(stream::pending()).boxed()
            }
        };
        let responses = events.map(move |event| {
            let _ = &open;
            Ok(GenerateResponse { event: Some(event) })
        });
        Ok(Response::new(responses.boxed()))
    }

    async fn embed(&self, _: Request<EmbedRequest>) -> Result<Response<EmbedResponse>, Status> {
        Err(Status::unimplemented("this node does not embed"))
    }

    async fn search_apis(&self, _: Request<SearchApisRequest>) -> Result<Response<SearchApisResponse>, Status> {
        Err(Status::unimplemented("this node has no catalogues"))
    }

    async fn call_api(&self, _: Request<CallApiRequest>) -> Result<Response<CallApiResponse>, Status> {
        Err(Status::unimplemented("this node has no catalogues"))
    }

    async fn describe(&self, _: Request<DescribeRequest>) -> Result<Response<DescribeResponse>, Status> {
        let model = |name: &&str| HostedModel {
            name: (*name).to_owned(),
            kind: ModelKind::Chat.into(),
            context_length: 2048,
            ..HostedModel::default()
        };
        let models = self.models.keys().map(model).collect();
        Ok(Response::new(DescribeResponse { node_id: self.id.to_owned(), version: "test".to_owned(), models }))
    }
}

fn words(text: &'static str) -> impl Iterator<Item = Event> {
    let token = TokenLogprob { id: 1, logprob: -0.1, top: Vec::new(), bytes: Vec::new() };
    let delta = move |word: &str| TokenDelta { text: word.to_owned(), tokens: vec![token.clone()] };
    text.split_inclusive(' ').map(move |word| Event::Delta(delta(word)))
}

fn finished(prompt_tokens: u32, text: &str) -> Event {
    let completion_tokens = u32::try_from(text.split_inclusive(' ').count()).unwrap();
    Event::Finished(GenerateFinished {
        finish_reason: FinishReason::Stop.into(),
        usage: Some(Usage { prompt_tokens, completion_tokens, cached_prompt_tokens: 0 }),
        timings: None,
        mean_logprob: -0.1,
    })
}

struct Open(Arc<AtomicUsize>);

impl Open {
    fn new(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(open))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
