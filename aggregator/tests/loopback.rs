//! The aggregator over real gRPC on loopback, between a client and scripted nodes.
// clippy.toml allows these in tests, but does not see that helpers here are part of them.
#![allow(clippy::unwrap_used, clippy::panic)]

mod scripted;

use std::{
    net::SocketAddr,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use futures::StreamExt;
use scripted::{Script, ScriptedNode, freezing::Freezing};
use synod_aggregator::{
    Client, Error, ErrorCode, Limits, Options, Question, ServeError,
    events::{Event, RunFinished},
    prompts::Prompts,
    serve,
    topology::{Known, from_toml},
};
use synod_proto::v1::{
    self, AskRequest, GetRunRequest, ListNodesRequest, ListRunsRequest, ListTopologiesRequest, Message,
    aggregator_service_client::AggregatorServiceClient,
};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use tonic::{Code, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_types::StatusExt;

const MIXTURE: &str = r#"
default_topology = "mixture"
[topologies.mixture]
deadline = "30s"
[[topologies.mixture.stages]]
kind = "propose"
quorum = 2
grace = "20s"
members = [{ model = "a" }, { model = "b" }, { model = "c" }]
[[topologies.mixture.stages]]
kind = "synthesize"
member = { model = "s" }
[topologies.alone]
[[topologies.alone.stages]]
kind = "synthesize"
member = { model = "s" }
"#;

struct Aggregator {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<Result<(), ServeError>>,
}

impl Aggregator {
    async fn start(nodes: &[SocketAddr]) -> Self {
        let limits = Limits {
            poll_interval: Duration::from_millis(50),
            first_look: Duration::from_secs(3),
            ..Limits::standard()
        };
        Self::start_with(nodes, limits).await
    }

    async fn start_with(nodes: &[SocketAddr], limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let options = Options {
            records: None,
            nodes: nodes.iter().map(SocketAddr::to_string).collect(),
            topologies: from_toml(MIXTURE, &Known::default()).unwrap(),
            prompts: Prompts::builtin().unwrap(),
            limits,
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async move {
            let _ = stopped.await;
        };
        let serving = tokio::spawn(serve(listener, options, shutdown));
        Self { address, stop: Some(stop), serving }
    }

    async fn client(&self) -> Client {
        Client::connect(&self.address.to_string()).await.unwrap()
    }

    async fn channel(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.address)).unwrap().connect().await.unwrap()
    }

    async fn raw(&self) -> AggregatorServiceClient<Channel> {
        AggregatorServiceClient::new(self.channel().await).max_encoding_message_size(200 << 20)
    }

    async fn ask(&self, question: Question) -> (Vec<Event>, Option<Error>) {
        let mut events = Vec::new();
        let mut stream = match self.client().await.ask(question).await {
            Ok(stream) => stream,
            Err(error) => return (events, Some(error)),
        };
        while let Some(next) = stream.next().await {
            match next {
                Ok(event) => events.push(event),
                Err(error) => return (events, Some(error)),
            }
        }
        (events, None)
    }

    async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        self.serving.await.unwrap().unwrap();
    }
}

fn alone() -> Question {
    Question { topology: "alone".into(), ..Question::new("Why?") }
}

#[track_caller]
fn answer(events: &[Event]) -> &RunFinished {
    match events.last() {
        Some(Event::RunFinished(finished)) => finished,
        other => panic!("expected an answer, got {other:?}"),
    }
}

/// Waits for something that happens soon, with a limit for when it doesn't.
async fn soon(mut happened: impl FnMut() -> bool) {
    let began = Instant::now();
    while !happened() {
        assert!(began.elapsed() < Duration::from_secs(5), "it did not happen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_question_goes_through_three_nodes_and_comes_back_as_one_answer() {
    let one = ScriptedNode::start("one", &[("a", Script::Say("draft of a")), ("b", Script::Say("draft of b"))]).await;
    let two = ScriptedNode::start("two", &[("c", Script::Say("draft of c"))]).await;
    let three = ScriptedNode::start("three", &[("s", Script::Say("the one answer"))]).await;
    let aggregator = Aggregator::start(&[one.address, two.address, three.address]).await;

    let (events, error) = aggregator.ask(Question::new("Why?")).await;
    assert_eq!(error, None);
    let finished = answer(&events);
    assert_eq!((finished.answer.as_str(), finished.degraded), ("the one answer", false));
    // Question, "Draft n:" and draft thrice, the instruction: eight parts.
    assert!(finished.usage.prompt_tokens > 8);
    let deltas: String = events
        .iter()
        .filter_map(|event| if let Event::AnswerDelta { text, .. } = event { Some(text.as_str()) } else { None })
        .collect();
    assert_eq!(deltas, "the one answer");

    let mut raw = aggregator.raw().await;
    let nodes = raw.list_nodes(ListNodesRequest {}).await.unwrap().into_inner().nodes;
    assert!(nodes.iter().all(|node| node.state() == v1::NodeState::Ready), "{nodes:?}");
    let topologies = raw.list_topologies(ListTopologiesRequest {}).await.unwrap().into_inner();
    assert_eq!(topologies.default_topology, "mixture");
    assert!(topologies.topologies.iter().any(|topology| topology.name == "moa-3" && topology.stages.len() == 3));
    let runs = raw.list_runs(ListRunsRequest::default()).await.unwrap().into_inner().runs;
    assert_eq!(runs[0].state(), v1::RunState::Finished);
    let run = raw.get_run(GetRunRequest { run_id: finished.run_id.clone() }).await.unwrap().into_inner();
    assert_eq!(run.events.len(), 4 * 2 + 2 + 2, "two of each seat, one of each stage, first and last");
    drop(raw);
    aggregator.stop().await;
}

#[tokio::test]
async fn a_node_that_dies_in_the_middle_of_its_draft_costs_its_seat() {
    let one = ScriptedNode::start("one", &[("a", Script::Say("draft of a")), ("b", Script::Say("draft of b"))]).await;
    let two = ScriptedNode::start("two", &[("c", Script::Stall("half a "))]).await;
    let three = ScriptedNode::start("three", &[("s", Script::Say("the one answer"))]).await;
    let aggregator = Aggregator::start(&[one.address, two.address, three.address]).await;

    let mut events = aggregator.client().await.ask(Question::new("Why?")).await.unwrap();
    let mut two = Some(two);
    let (mut lost, mut finished) = (None, None);
    while let Some(event) = events.next().await {
        match event.unwrap() {
            Event::MemberDelta { at, .. } if at.seat == 2 => drop(two.take()),
            Event::MemberFailed(failed) => lost = Some(failed),
            Event::RunFinished(run) => finished = Some(run),
            _ => {}
        }
    }
    let (lost, finished) = (lost.unwrap(), finished.unwrap());
    assert_eq!((finished.answer.as_str(), finished.degraded), ("the one answer", true));
    assert_eq!((lost.at.seat, lost.node.as_str(), lost.text.as_str()), (2, "two", "half a "));
    assert!(lost.error.contains("node two: "), "{}", lost.error);
    aggregator.stop().await;
}

#[tokio::test]
async fn a_node_that_freezes_in_the_middle_of_its_draft_is_given_up_long_before_the_idle_limit() {
    let one = ScriptedNode::start("one", &[("a", Script::Say("draft of a")), ("b", Script::Say("draft of b"))]).await;
    let two = ScriptedNode::start("two", &[("c", Script::Stall("half a "))]).await;
    let way = Freezing::before(two.address).await;
    let three = ScriptedNode::start("three", &[("s", Script::Say("the one answer"))]).await;
    let limits = Limits {
        poll_interval: Duration::from_millis(100),
        poll_timeout: Duration::from_millis(500),
        ..Limits::standard()
    };
    let aggregator = Aggregator::start_with(&[one.address, way.address, three.address], limits).await;
    let mut events = aggregator.client().await.ask(Question::new("Why?")).await.unwrap();
    let (mut frozen_at, mut lost_after) = (None, None);
    while let Some(event) = events.next().await {
        match event.unwrap() {
            Event::MemberDelta { at, .. } if at.seat == 2 => {
                way.freeze();
                frozen_at = Some(Instant::now());
            }
            Event::MemberFailed(failed) => {
                assert!(failed.error.contains("node two: "), "{}", failed.error);
                lost_after = frozen_at.map(|at| at.elapsed());
            }
            Event::RunFinished(finished) => assert!(finished.degraded && finished.answer == "the one answer"),
            _ => {}
        }
    }
    assert!(lost_after.unwrap() < Duration::from_secs(3), "{lost_after:?}");
    aggregator.stop().await;
}

#[tokio::test]
async fn a_synthesiser_that_is_draining_hands_over_to_another_node() {
    let refusing = Script::Refuse(tonic::Status::unavailable("draining"));
    let one = ScriptedNode::start("one", &[("s", refusing)]).await;
    let two = ScriptedNode::start("two", &[("s", Script::Say("from two"))]).await;
    let aggregator = Aggregator::start(&[one.address, two.address]).await;
    for _ in 0..4 {
        let (events, error) = aggregator.ask(alone()).await;
        assert_eq!((error, answer(&events).answer.as_str()), (None, "from two"));
    }
    aggregator.stop().await;
}

#[tokio::test]
async fn nothing_reachable_is_said_fast_and_by_name() {
    let gone = ScriptedNode::start("gone", &[]).await.address;
    let aggregator = Aggregator::start(&[gone]).await;
    let began = Instant::now();
    let (events, error) = aggregator.ask(Question::new("Why?")).await;
    let error = error.unwrap();
    assert_eq!(error.code, ErrorCode::Unavailable);
    // Refused, or reset or broken where the listener was just closing.
    let is_gone = |text: &str| ["refused", "reset", "broken pipe"].iter().any(|word| text.contains(word));
    assert!(error.message.contains(&gone.to_string()) && is_gone(&error.message), "{error}");
    assert!(matches!(events.last(), Some(Event::RunFailed(_))));
    assert!(began.elapsed() < Duration::from_secs(3));
    let nodes = aggregator.raw().await.list_nodes(ListNodesRequest {}).await.unwrap().into_inner().nodes;
    assert_eq!(nodes[0].state(), v1::NodeState::Unreachable);
    assert!(is_gone(&nodes[0].error), "{nodes:?}");
    aggregator.stop().await;
}

#[tokio::test]
async fn a_model_that_no_node_has_is_said_with_what_they_have() {
    let one = ScriptedNode::start("one", &[("other", Script::Say("x"))]).await;
    let aggregator = Aggregator::start(&[one.address]).await;
    let error = aggregator.ask(alone()).await.1.unwrap();
    assert_eq!(error.code, ErrorCode::ModelNotHosted);
    assert!(error.message.contains("no ready node hosts s: one hosts other"), "{error}");
    aggregator.stop().await;
}

#[tokio::test]
async fn a_node_that_comes_back_is_used_again() {
    let first = ScriptedNode::start("one", &[("s", Script::Say("first"))]).await;
    let address = first.address;
    let aggregator = Aggregator::start(&[address]).await;
    assert_eq!(answer(&aggregator.ask(alone()).await.0).answer, "first");
    drop(first);
    assert_eq!(aggregator.ask(alone()).await.1.unwrap().code, ErrorCode::Unavailable);
    let second = ScriptedNode::start_at(address, "one", &[("s", Script::Say("second"))]).await;
    let began = Instant::now();
    let again = loop {
        let (events, error) = aggregator.ask(alone()).await;
        if error.is_none() {
            break events;
        }
        assert!(began.elapsed() < Duration::from_secs(5), "it was not found again: {error:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(answer(&again).answer, "second");
    drop(second);
    aggregator.stop().await;
}

#[tokio::test]
async fn a_client_that_goes_away_frees_the_node() {
    let one = ScriptedNode::start("one", &[("s", Script::Stall("once upon "))]).await;
    let aggregator = Aggregator::start(&[one.address]).await;
    let mut events = aggregator.client().await.ask(alone()).await.unwrap();
    while !matches!(events.next().await, Some(Ok(Event::AnswerDelta { .. }))) {}
    assert_eq!(one.open.load(Ordering::SeqCst), 1);
    drop(events);
    soon(|| one.open.load(Ordering::SeqCst) == 0).await;
    aggregator.stop().await;
}

#[tokio::test]
async fn a_client_that_goes_away_frees_the_node_that_reads_drafts_ahead() {
    let one = ScriptedNode::start("one", &[("a", Script::Say("draft of a")), ("b", Script::Stall("draft "))]).await;
    let two = ScriptedNode::start("two", &[("c", Script::Say("draft of c")), ("s", Script::Say("answer"))]).await;
    let aggregator = Aggregator::start(&[one.address, two.address]).await;
    let mut events = aggregator.client().await.ask(Question::new("Why?")).await.unwrap();
    // The synthesiser has been given the question, and waits for drafts.
    while !matches!(events.next().await, Some(Ok(Event::MemberStarted(started))) if started.at.stage == 1) {}
    soon(|| two.open.load(Ordering::SeqCst) == 1).await;
    drop(events);
    soon(|| one.open.load(Ordering::SeqCst) + two.open.load(Ordering::SeqCst) == 0).await;
    aggregator.stop().await;
}

#[tokio::test]
async fn a_callers_deadline_is_kept_over_the_wire() {
    let one = ScriptedNode::start("one", &[("s", Script::Stall("once upon "))]).await;
    let aggregator = Aggregator::start(&[one.address]).await;
    let began = Instant::now();
    let (events, error) = aggregator.ask(Question { deadline: Some(Duration::from_secs(1)), ..alone() }).await;
    assert_eq!(error.unwrap().code, ErrorCode::DeadlineExceeded);
    assert!(
        matches!(events.last(), Some(Event::RunFailed(failed)) if failed.answer_so_far == "once upon "),
        "{events:?}"
    );
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    soon(|| one.open.load(Ordering::SeqCst) == 0).await;
    aggregator.stop().await;
}

#[tokio::test]
async fn bad_questions_get_their_status_and_lose_nothing() {
    let one = ScriptedNode::start("one", &[("s", Script::Say("well"))]).await;
    let aggregator = Aggregator::start(&[one.address]).await;
    let mut raw = aggregator.raw().await;
    let message = |content: String| Message { role: "user".into(), content };
    let request = |content: String| AskRequest {
        messages: vec![message(content)],
        topology: "alone".into(),
        ..AskRequest::default()
    };
    let hot = v1::Sampling { temperature: Some(9.0), ..v1::Sampling::default() };
    for (request, code, says) in [
        (request(String::new()), Code::InvalidArgument, "the question is empty"),
        (request("x".repeat(2 << 20)), Code::InvalidArgument, "more than the 1048576 allowed"),
        (request("x".repeat(100 << 20)), Code::OutOfRange, "too large"),
        (AskRequest { topology: "aloen".into(), ..request("q".into()) }, Code::NotFound, "did you mean \"alone\"?"),
        (AskRequest { sampling: Some(hot), ..request("q".into()) }, Code::InvalidArgument, "9 is not a temperature"),
        (AskRequest::default(), Code::InvalidArgument, "there are no messages"),
    ] {
        let status = raw.ask(request).await.map(|_| ()).unwrap_err();
        assert!(status.code() == code && status.message().contains(says), "{code:?} {says:?}: {status:?}");
    }
    let status = raw.ask(request(String::new())).await.map(|_| ()).unwrap_err();
    assert_eq!(status.get_details_error_info().unwrap().reason, "INVALID_REQUEST");
    assert_eq!(answer(&aggregator.ask(alone()).await.0).answer, "well");
    aggregator.stop().await;
}

#[tokio::test]
async fn more_runs_than_allowed_are_told_when_to_come_back() {
    let one = ScriptedNode::start("one", &[("s", Script::Stall("once upon "))]).await;
    let limits = Limits { concurrent_runs: 1, drain: Duration::from_millis(100), ..Limits::standard() };
    let aggregator = Aggregator::start_with(&[one.address], limits).await;
    let _running = aggregator.client().await.ask(alone()).await.unwrap();
    let messages = vec![Message { role: "user".into(), content: "q".into() }];
    let request = AskRequest { messages, ..AskRequest::default() };
    let status = aggregator.raw().await.ask(request).await.map(|_| ()).unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(Duration::from_secs(1)));
    aggregator.stop().await;
}

#[tokio::test]
async fn reflection_speaks_both_versions_and_health_follows_the_drain() {
    let one = ScriptedNode::start("one", &[("s", Script::Stall("once upon "))]).await;
    let limits = Limits { drain: Duration::from_millis(500), ..Limits::standard() };
    let mut aggregator = Aggregator::start_with(&[one.address], limits).await;
    let channel = aggregator.channel().await;
    for services in [reflect::v1(channel.clone()).await, reflect::v1alpha(channel.clone()).await] {
        assert!(services.contains(&"synod.v1.AggregatorService".to_owned()), "{services:?}");
    }
    let mut health = HealthClient::new(channel);
    let check = HealthCheckRequest { service: "synod.v1.AggregatorService".into() };
    let status = health.check(check.clone()).await.unwrap().into_inner().status();
    assert_eq!(status, ServingStatus::Serving);

    let mut events = aggregator.client().await.ask(alone()).await.unwrap();
    while !matches!(events.next().await, Some(Ok(Event::AnswerDelta { .. }))) {}
    let mut watch = health.watch(check).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    aggregator.stop.take().unwrap().send(()).unwrap();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    let error = aggregator.ask(alone()).await.1.unwrap();
    assert!(error.code == ErrorCode::Unavailable && error.message.contains("shutting down"), "{error}");
    let last = events.collect::<Vec<_>>().await.pop().unwrap().unwrap_err();
    assert_eq!(last.code, ErrorCode::Unavailable);
    drop((watch, health));
    aggregator.serving.await.unwrap().unwrap();
}

/// The names of all services, as a client without generated code finds them.
mod reflect {
    use tokio_stream::once;
    use tonic::transport::Channel;

    macro_rules! list {
        ($version:ident) => {
            pub(super) async fn $version(channel: Channel) -> Vec<String> {
                use tonic_reflection::pb::$version::{
                    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
                    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
                };
                let message_request = Some(MessageRequest::ListServices(String::new()));
                let request = ServerReflectionRequest { host: String::new(), message_request };
                let mut client = ServerReflectionClient::new(channel);
                let mut responses = client.server_reflection_info(once(request)).await.unwrap().into_inner();
                let response = responses.message().await.unwrap().unwrap().message_response;
                let Some(MessageResponse::ListServicesResponse(list)) = response else { panic!("{response:?}") };
                list.service.into_iter().map(|service| service.name).collect()
            }
        };
    }
    list!(v1);
    list!(v1alpha);
}
