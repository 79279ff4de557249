//! A node of the simulation: real gRPC, and for each call an act that its seed draws.

use std::{pin::Pin, time::Duration};

use futures::{Stream, StreamExt, stream};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use synod_proto::v1::{
    CallApiRequest, CallApiResponse, DescribeRequest, DescribeResponse, EmbedRequest, EmbedResponse, FinishReason,
    GenerateAccepted, GenerateFinished, GenerateRequest, GenerateResponse, HostedModel, ModelKind, SearchApisRequest,
    SearchApisResponse, TokenDelta, TokenLogprob, Usage, generate_request,
    generate_response::Event,
    node_service_server::{NodeService, NodeServiceServer},
    prompt_part,
};
use tokio::time::sleep;
use tonic::{Request, Response, Status, Streaming, transport::Server};
use tonic_types::{ErrorDetails, StatusExt};

use crate::{
    network::incoming,
    plan::{Spec, name},
    world::{self, Call, now},
};

pub(crate) const PORT: u16 = 7610;

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    Say,
    /// Ten times as slowly.
    Slowly,
    /// It has no room, and says when it will.
    Full,
    Unavailable,
    Internal,
    /// Accepted, and then nothing.
    Hang,
    /// Silent in the middle.
    Stall,
    /// Breaks off in the middle.
    BreakOff,
    /// Stops in the middle, and says so.
    Stop,
    Empty,
    /// The same word over and over, to an end.
    Loop,
    /// Never ends.
    Babble,
}

const WRONG: [Act; 11] = [
    Act::Slowly,
    Act::Full,
    Act::Unavailable,
    Act::Internal,
    Act::Hang,
    Act::Stall,
    Act::BreakOff,
    Act::Stop,
    Act::Empty,
    Act::Loop,
    Act::Babble,
];

/// Serves until its host is crashed.
pub(crate) async fn serve(at: usize, spec: Spec, seed: u64, world: world::Shared) -> turmoil::Result {
    world.lock().open.insert(at, 0);
    let listener = turmoil::net::TcpListener::bind(("0.0.0.0", PORT)).await?;
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<NodeServiceServer<Service>>().await;
    let router = Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(1)))
        .http2_keepalive_timeout(Some(Duration::from_secs(1)))
        .add_service(health_service)
        .add_service(NodeServiceServer::new(Service { at, spec, seed, world }));
    router.serve_with_incoming(incoming(listener)).await?;
    Ok(())
}

struct Service {
    at: usize,
    spec: Spec,
    seed: u64,
    world: world::Shared,
}

type Responses = Pin<Box<dyn Stream<Item = Result<GenerateResponse, Status>> + Send>>;

#[tonic::async_trait]
impl NodeService for Service {
    type GenerateStream = Responses;

    async fn generate(&self, request: Request<Streaming<GenerateRequest>>) -> Result<Response<Responses>, Status> {
        let mut messages = request.into_inner();
        let Some(generate_request::Message::Start(start)) = messages.message().await?.and_then(|first| first.message)
        else {
            return Err(Status::invalid_argument("the first message must be start"));
        };
        let mut prompt: String = start.messages.iter().map(|message| message.content.as_str()).collect();
        while let Some(message) = messages.message().await? {
            if let Some(generate_request::Message::Part(part)) = message.message {
                match part.content {
                    Some(prompt_part::Content::Text(text)) => prompt.push_str(&text),
                    Some(prompt_part::Content::Quoted(quoted)) => prompt.push_str(&quoted.text),
                    None => {}
                }
            }
        }
        let (number, act, mut rng) = self.arrive(start.model, start.run_id, &prompt);
        let steps = match act {
            Act::Full => {
                let details = ErrorDetails::with_retry_info(Some(Duration::from_millis(rng.random_range(100..1000))));
                return Err(Status::with_error_details(tonic::Code::ResourceExhausted, "full", details));
            }
            Act::Unavailable => return Err(Status::unavailable("going away")),
            Act::Internal => return Err(Status::internal("broken")),
            act => script(act, number, &mut rng),
        };
        Ok(Response::new(self.play(number, steps)))
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
        let open = *self.world.lock().open.get(&self.at).unwrap_or(&0);
        let model = |model: &&str| HostedModel {
            name: (*model).to_owned(),
            kind: ModelKind::Chat.into(),
            running: u32::try_from(open).unwrap_or(u32::MAX),
            max_running: 4,
            ..HostedModel::default()
        };
        let models = self.spec.models.iter().map(model).collect();
        Ok(Response::new(DescribeResponse { node_id: name(self.at), version: "sim".to_owned(), models }))
    }
}

impl Service {
    /// Writes the call down and draws what becomes of it.
    fn arrive(&self, model: String, run_id: String, prompt: &str) -> (usize, Act, StdRng) {
        let mut world = self.world.lock();
        let number = world.calls.len();
        let mut rng = StdRng::seed_from_u64(self.seed ^ (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let goes_wrong = rng.random_range(0..100) < self.spec.wrong;
        let act = if goes_wrong { WRONG[rng.random_range(0..WRONG.len())] } else { Act::Say };
        let quotes = quotes(prompt);
        let (node, arrived) = (self.at, now());
        world.calls.push(Call { node, model, run_id, act, arrived, quotes, last_wrote: None, is_whole: false });
        (number, act, rng)
    }

    fn play(&self, number: usize, steps: Vec<(Duration, Step)>) -> Responses {
        let open = Open::new(self.at, self.world.clone());
        let steps = stream::iter(steps).then(|(pause, step)| async move {
            sleep(pause).await;
            step
        });
        let responses = steps.filter_map(move |step| {
            let response = open.take(number, step);
            async move {
                match response {
                    Some(response) => Some(response),
                    None => std::future::pending().await,
                }
            }
        });
        responses.boxed()
    }
}

/// What a node does next in an answer.
enum Step {
    Event(Box<Event>),
    /// All is said.
    Finish(FinishReason, u32),
    Fail,
    Silence,
}

fn script(act: Act, number: usize, rng: &mut StdRng) -> Vec<(Duration, Step)> {
    let begin = Duration::from_millis(rng.random_range(0..150));
    let words: u32 = rng.random_range(3..16);
    let pause = Duration::from_millis(if act == Act::Slowly { 150 } else { rng.random_range(0..20) });
    let said = match act {
        Act::Hang | Act::Empty => 0,
        Act::Stall | Act::BreakOff | Act::Stop => rng.random_range(1..words),
        Act::Loop => 100,
        Act::Babble => 2000,
        _ => words,
    };
    let accepted = Event::Accepted(GenerateAccepted { prompt_tokens: 10, ..GenerateAccepted::default() });
    let mut steps = vec![(begin, Step::Event(Box::new(accepted)))];
    for word in 0..said {
        let word = if act == Act::Loop { 0 } else { word };
        steps.push((pause, Step::Event(Box::new(delta(format!("{MARK}{number}.{word} "))))));
    }
    steps.push(match act {
        Act::Hang | Act::Stall | Act::Babble => (pause, Step::Silence),
        Act::BreakOff => (pause, Step::Fail),
        Act::Stop => (pause, Step::Finish(FinishReason::Cancelled, said)),
        _ => (pause, Step::Finish(FinishReason::Stop, said)),
    });
    steps
}

/// Before the number of the call in each of its words.
const MARK: char = '§';

/// The calls whose words are in a prompt.
fn quotes(prompt: &str) -> Vec<usize> {
    let number = |rest: &str| rest.split('.').next().and_then(|number| number.parse().ok());
    let mut quotes: Vec<usize> = prompt.split(MARK).skip(1).filter_map(number).collect();
    quotes.dedup();
    quotes
}

fn delta(text: String) -> Event {
    Event::Delta(TokenDelta {
        text,
        tokens: vec![TokenLogprob { id: 1, logprob: -0.1, top: Vec::new(), bytes: Vec::new() }],
    })
}

/// An answer that is being written.
struct Open {
    at: usize,
    world: world::Shared,
}

impl Open {
    fn new(at: usize, world: world::Shared) -> Self {
        *world.lock().open.entry(at).or_default() += 1;
        Self { at, world }
    }

    /// Writes down what is sent; nothing is sent in silence.
    fn take(&self, number: usize, step: Step) -> Option<Result<GenerateResponse, Status>> {
        let mut world = self.world.lock();
        let call = &mut world.calls[number];
        let event = match step {
            Step::Silence => return None,
            Step::Fail => return Some(Err(Status::internal("broke off"))),
            Step::Event(event) => {
                if matches!(*event, Event::Delta(_)) {
                    call.last_wrote = Some(now());
                }
                *event
            }
            Step::Finish(finish_reason, completion_tokens) => {
                call.is_whole = finish_reason == FinishReason::Stop;
                Event::Finished(GenerateFinished {
                    finish_reason: finish_reason.into(),
                    usage: Some(Usage { prompt_tokens: 10, completion_tokens, cached_prompt_tokens: 0 }),
                    timings: None,
                    mean_logprob: -0.1,
                })
            }
        };
        Some(Ok(GenerateResponse { event: Some(event) }))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(open) = self.world.lock().open.get_mut(&self.at) {
            *open = open.saturating_sub(1);
        }
    }
}
