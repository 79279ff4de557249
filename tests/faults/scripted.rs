//! Nodes in this process that say what a script has, true or not, and remember what they were told.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use futures::{Stream, StreamExt, stream};
use synod_proto::v1::{
    CallApiRequest, CallApiResponse, DescribeRequest, DescribeResponse, EmbedRequest, EmbedResponse, FinishReason,
    GenerateAccepted, GenerateFinished, GenerateRequest, GenerateResponse, HostedModel, ModelKind, SearchApisRequest,
    SearchApisResponse, TokenDelta, TokenLogprob, Usage, generate_request,
    generate_response::Event,
    node_service_server::{NodeService, NodeServiceServer},
    prompt_part,
};
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Server, server::TcpIncoming},
};

use crate::{cell::Fault, relay::NOT_UTF8};

/// A word of those that lie, and of nobody else.
pub(crate) const LIE: &str = "zyxwvut";

/// What a node does with a model.
#[derive(Debug, Clone)]
pub(crate) enum Script {
    /// Says this.
    Say(&'static str),
    /// Takes no calls.
    Refuse,
    /// The first of the nodes that share the lock lies from then on; the others say this.
    Lie { fault: Fault, lead: &'static str, liar: Arc<OnceLock<String>>, others: &'static str },
}

/// A prompt as a node read it.
#[derive(Debug, Clone)]
pub(crate) struct Prompt {
    pub(crate) model: String,
    pub(crate) text: String,
    /// Somebody waited for the answer to it.
    pub(crate) answered: bool,
}

/// What all nodes of a cell were told.
pub(crate) type Heard = Arc<Mutex<Vec<Prompt>>>;

/// Serves until this process ends; where.
pub(crate) async fn serve(id: &str, models: &[(&'static str, Script)], heard: &Heard) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let node = Node { id: id.to_owned(), models: models.iter().cloned().collect(), heard: Arc::clone(heard) };
    let server = Server::builder().add_service(NodeServiceServer::new(node));
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true))));
    address
}

struct Node {
    id: String,
    models: BTreeMap<&'static str, Script>,
    heard: Heard,
}

type Responses = Pin<Box<dyn Stream<Item = Result<GenerateResponse, Status>> + Send>>;

#[tonic::async_trait]
impl NodeService for Node {
    type GenerateStream = Responses;

    async fn generate(&self, request: Request<Streaming<GenerateRequest>>) -> Result<Response<Responses>, Status> {
        let mut messages = request.into_inner();
        let Some(generate_request::Message::Start(start)) = messages.message().await?.and_then(|first| first.message)
        else {
            return Err(Status::invalid_argument("the first message must be start"));
        };
        let mut text: String = start.messages.iter().map(|message| message.content.as_str()).collect();
        while let Some(message) = messages.message().await? {
            let Some(generate_request::Message::Part(part)) = message.message else { continue };
            match part.content {
                Some(prompt_part::Content::Text(more)) => text.push_str(&more),
                Some(prompt_part::Content::Quoted(quoted)) => text.push_str(&quoted.text),
                None => {}
            }
        }
        let script = self.models.get(start.model.as_str()).ok_or_else(|| Status::not_found("no such model"))?;
        let said = match script {
            Script::Refuse => return Err(Status::unavailable("not today")),
            Script::Say(text) => well(text),
            Script::Lie { fault, lead, liar, others } => {
                if *liar.get_or_init(|| self.id.clone()) == self.id {
                    lie(*fault, lead)
                } else {
                    well(others)
                }
            }
        };
        let accepted = Event::Accepted(GenerateAccepted { prompt_tokens: 10, ..GenerateAccepted::default() });
        let answered = self.hear(start.model, text);
        let begins = stream::once(async move { answered() }).flat_map(|()| stream::empty());
        let events = stream::iter([accepted]).chain(begins).chain(said);
        Ok(Response::new(events.map(|event| Ok(GenerateResponse { event: Some(event) })).boxed()))
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
            max_running: 8,
            ..HostedModel::default()
        };
        let models = self.models.keys().map(model).collect();
        Ok(Response::new(DescribeResponse { node_id: self.id.clone(), version: "script".to_owned(), models }))
    }
}

impl Node {
    /// Remembers a prompt; what it returns is called when an answer to it is begun.
    fn hear(&self, model: String, text: String) -> impl FnOnce() + Send + use<> {
        let mut heard = self.heard.lock().unwrap();
        heard.push(Prompt { model, text, answered: false });
        let (number, heard) = (heard.len() - 1, Arc::clone(&self.heard));
        move || heard.lock().unwrap()[number].answered = true
    }
}

type Events = Pin<Box<dyn Stream<Item = Event> + Send>>;

fn well(text: &'static str) -> Events {
    stream::iter(words(text)).chain(stream::iter([finished(text)])).boxed()
}

/// First `lead`, then the fault.
fn lie(fault: Fault, lead: &'static str) -> Events {
    let whole = |text: String| stream::iter([delta(&text), finished(&text)]).boxed();
    let then: Events = match fault {
        Fault::NotText => whole("\u{1}\u{2}\u{fffd}".repeat(100) + LIE),
        Fault::WrongBytes => whole(format!("{LIE} {NOT_UTF8}")),
        Fault::Huge => whole(format!("{LIE} ").repeat(5 << 17)),
        Fault::Loop => whole(format!("{LIE} and on and on, ").repeat(60)),
        Fault::Empty => whole(String::new()),
        Fault::Flood => stream::repeat(Event::Delta(TokenDelta::default())).boxed(),
        Fault::Endless => endless().boxed(),
        Fault::BreakOff => stream::iter([delta(LIE)]).boxed(),
        Fault::Plausible => whole(format!("It is what {LIE} says. It is so.")),
        Fault::Kill | Fault::Stop | Fault::Slow => panic!("{fault:?} takes a process"),
    };
    stream::iter(words(lead)).chain(then).boxed()
}

fn endless() -> impl Stream<Item = Event> + Send {
    stream::unfold(0_u64, |word| async move {
        tokio::time::sleep(Duration::from_millis(2)).await;
        // New words each time: no loop.
        Some((delta(&format!("{LIE}{:x} ", word.wrapping_mul(0x9e37_79b9_7f4a_7c15))), word + 1))
    })
}

fn words(text: &'static str) -> impl Iterator<Item = Event> {
    text.split_inclusive(' ').map(delta)
}

fn delta(text: &str) -> Event {
    let tokens = vec![TokenLogprob { id: 1, logprob: -0.1, top: Vec::new(), bytes: Vec::new() }];
    Event::Delta(TokenDelta { text: text.to_owned(), tokens })
}

fn finished(text: &str) -> Event {
    let completion_tokens = u32::try_from(text.split_inclusive(' ').count()).unwrap();
    Event::Finished(GenerateFinished {
        finish_reason: FinishReason::Stop.into(),
        usage: Some(Usage { prompt_tokens: 10, completion_tokens, cached_prompt_tokens: 0 }),
        timings: None,
        mean_logprob: -0.1,
    })
}
