//! A node on a free port, with the models of the store.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use synod_agent_node::{Host, ModelLimits, ModelSpec, ServeError, ServeOptions, serve};
use synod_models::{
    engine::EngineOptions,
    store::{CancelToken, Kind, Silent, Store},
};
use synod_proto::v1::{
    GenerateRequest, GenerateStart, Message, PromptPart, QuotedText, Sampling, generate_request,
    node_service_client::NodeServiceClient, prompt_part,
};
use tokio::{
    net::TcpListener,
    sync::{Mutex, MutexGuard, oneshot},
    task::JoinHandle,
};
use tonic::transport::Channel;

pub(crate) const CHAT: &str = "smollm2-135m-instruct";
pub(crate) const CALLER: &str = "qwen2.5-coder-0.5b-instruct";
pub(crate) const EMBEDDING: &str = "all-minilm-l6-v2";
pub(crate) const CONTEXT: usize = 512;
pub(crate) const MAX_RUNNING: usize = 2;
pub(crate) const MAX_QUEUED: usize = 2;

/// Loaded once for all tests; fetched first if they are not here.
pub(crate) async fn host() -> Arc<Host> {
    static HOST: OnceLock<Arc<Host>> = OnceLock::new();
    let load = || Arc::clone(HOST.get_or_init(|| Arc::new(load())));
    tokio::task::spawn_blocking(load).await.unwrap()
}

/// One more host, with a model that is good enough to call APIs.
pub(crate) async fn caller() -> Arc<Host> {
    let load = || Arc::new(load_models(&[(CALLER, Kind::Chat)], 2048));
    tokio::task::spawn_blocking(load).await.unwrap()
}

/// The chat model to oneself.
pub(crate) type Turn = MutexGuard<'static, ()>;

/// Tests share one engine with a short queue: those that write take turns.
pub(crate) async fn turn() -> Turn {
    static TURN: Mutex<()> = Mutex::const_new(());
    TURN.lock().await
}

fn load() -> Host {
    load_models(&[(CHAT, Kind::Chat), (EMBEDDING, Kind::Embedding)], CONTEXT)
}

fn load_models(models: &[(&str, Kind)], context_length: usize) -> Host {
    let store = Store::open().unwrap();
    let spec = |&(name, kind): &(&str, Kind)| {
        let weights = store.pull(name, &Silent, &CancelToken::new()).unwrap().weights().to_owned();
        let path = if kind == Kind::Embedding { weights.parent().unwrap().to_owned() } else { weights };
        ModelSpec { name: name.to_owned(), sha256: "0".repeat(64), kind, path }
    };
    let engine =
        EngineOptions { max_running: MAX_RUNNING, max_queued: MAX_QUEUED, context_length, ..EngineOptions::standard() };
    let limits = ModelLimits { threads: 0, engine, max_running_embeds: 1, max_queued_embeds: 2 };
    Host::load(models.iter().map(spec).collect(), &limits, |_| {}).unwrap()
}

/// A running node.
pub(crate) struct Node {
    pub(crate) channel: Channel,
    pub(crate) endpoint: String,
    shutdown: Option<oneshot::Sender<()>>,
    served: JoinHandle<Result<(), ServeError>>,
}

impl Node {
    pub(crate) async fn start(host: Arc<Host>, change: impl FnOnce(&mut ServeOptions)) -> Self {
        let mut options = ServeOptions::recommended();
        change(&mut options);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (shutdown, signal) = oneshot::channel();
        let signal = async move { signal.await.unwrap_or(()) };
        let served = tokio::spawn(serve(listener, host, options, signal));
        let channel = Channel::from_shared(address.clone()).unwrap().connect().await.unwrap();
        Self { channel, endpoint: address, shutdown: Some(shutdown), served }
    }

    pub(crate) fn client(&self) -> NodeServiceClient<Channel> {
        NodeServiceClient::new(self.channel.clone())
    }

    /// Asks it to stop.
    pub(crate) fn signal(&mut self) {
        self.shutdown.take().unwrap().send(()).unwrap();
    }

    /// Waits until it has stopped.
    pub(crate) async fn stopped(self) {
        tokio::time::timeout(Duration::from_secs(60), self.served).await.unwrap().unwrap().unwrap();
    }
}

pub(crate) fn message(role: &str, content: &str) -> Message {
    Message { role: role.to_owned(), content: content.to_owned() }
}

/// A greedy request for `max_tokens` tokens, whatever the model would say.
pub(crate) fn start(question: &str, max_tokens: u32) -> GenerateStart {
    GenerateStart {
        model: CHAT.to_owned(),
        messages: vec![message("user", question)],
        sampling: Some(Sampling { max_tokens: Some(max_tokens), temperature: Some(0.0), ..Sampling::default() }),
        ignore_end: true,
        ..GenerateStart::default()
    }
}

pub(crate) fn first(start: GenerateStart) -> GenerateRequest {
    GenerateRequest { message: Some(generate_request::Message::Start(start)) }
}

fn part(content: prompt_part::Content) -> GenerateRequest {
    GenerateRequest { message: Some(generate_request::Message::Part(PromptPart { content: Some(content) })) }
}

pub(crate) fn text(text: &str) -> GenerateRequest {
    part(prompt_part::Content::Text(text.to_owned()))
}

pub(crate) fn quoted(text: &str, max_tokens: u32) -> GenerateRequest {
    part(prompt_part::Content::Quoted(QuotedText { text: text.to_owned(), max_tokens, more: false }))
}

/// A piece of a quoted text that goes on.
pub(crate) fn piece(text: &str) -> GenerateRequest {
    part(prompt_part::Content::Quoted(QuotedText { text: text.to_owned(), max_tokens: 0, more: true }))
}
