//! A node's other RPCs, and its end.

use std::time::Duration;

use futures::stream;
use synod_proto::v1::{DescribeRequest, EmbedRequest, ModelKind, generate_response::Event};
use tokio::time::Instant;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_reflection::pb::{v1, v1alpha};
use tonic_types::StatusExt;

use crate::fixture::{CHAT, CONTEXT, EMBEDDING, MAX_QUEUED, MAX_RUNNING, Node, first, host, start, turn};

#[tokio::test]
async fn a_node_says_what_it_hosts() {
    let host = host().await;
    let node = Node::start(host, |options| options.node_id = "n1".to_owned()).await;
    let described = node.client().describe(DescribeRequest {}).await.unwrap().into_inner();
    assert_eq!((described.node_id.as_str(), described.version.as_str()), ("n1", env!("CARGO_PKG_VERSION")));
    let [embedding, chat] = &described.models[..] else { panic!("{:?}", described.models) };
    assert_eq!((embedding.name.as_str(), embedding.kind()), (EMBEDDING, ModelKind::Embedding));
    assert_eq!((embedding.context_length, embedding.size_bytes), (256, 90_868_376));
    assert_eq!((chat.name.as_str(), chat.kind()), (CHAT, ModelKind::Chat));
    assert_eq!((chat.context_length as usize, chat.size_bytes), (CONTEXT, 98_362_432));
    assert_eq!((chat.max_running as usize, chat.max_queued as usize), (MAX_RUNNING, MAX_QUEUED));
}

#[tokio::test]
async fn texts_that_mean_the_same_lie_close() {
    let host = host().await;
    let node = Node::start(host, |_| {}).await;
    let texts = ["A man is eating food.", "Someone eats a meal.", "The stock market fell today."];
    let request = EmbedRequest { model: EMBEDDING.to_owned(), texts: texts.map(str::to_owned).to_vec() };
    let response = node.client().embed(request).await.unwrap().into_inner();
    let dot = |a: usize, b: usize| -> f32 {
        response.embeddings[a].values.iter().zip(&response.embeddings[b].values).map(|(a, b)| a * b).sum()
    };
    assert_eq!((response.embeddings.len(), response.embeddings[0].values.len()), (3, 384));
    assert!((dot(0, 0) - 1.0).abs() < 1e-5 && dot(0, 1) > 0.6 && dot(0, 2) < 0.2, "{} {}", dot(0, 1), dot(0, 2));
    assert!(response.prompt_tokens > 15);
}

#[tokio::test]
async fn an_embed_request_that_nobody_waits_for_stops() {
    let node = Node::start(host().await, |_| {}).await;
    let long = EmbedRequest { model: EMBEDDING.to_owned(), texts: vec!["word ".repeat(300); 256] };
    let mut client = node.client();
    let started = Instant::now();
    let patience = Duration::from_millis(500);
    assert!(tokio::time::timeout(patience, client.embed(long)).await.is_err(), "a minute of work in half a second");
    // One thread embeds: this one's turn comes when the first has stopped.
    let short = EmbedRequest { model: EMBEDDING.to_owned(), texts: vec!["word".to_owned()] };
    client.embed(short).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
}

#[tokio::test]
async fn embed_requests_are_checked() {
    let host = host().await;
    let node = Node::start(host, |options| options.limits.max_embed_texts = 3).await;
    let refused = async |model: &str, texts: usize| {
        let request = EmbedRequest { model: model.to_owned(), texts: vec!["x".to_owned(); texts] };
        node.client().embed(request).await.unwrap_err()
    };
    assert_eq!(refused("nothing", 1).await.code(), Code::NotFound);
    assert_eq!(refused(CHAT, 1).await.code(), Code::InvalidArgument);
    assert_eq!(refused(EMBEDDING, 0).await.code(), Code::InvalidArgument);
    let status = refused(EMBEDDING, 4).await;
    assert_eq!(status.message(), "texts: 4 are too many for one request: send at most 3");
    assert_eq!(status.get_error_details().bad_request().unwrap().field_violations[0].field, "texts");
}

#[tokio::test]
async fn health_and_both_reflections_are_served() {
    let host = host().await;
    let node = Node::start(host, |_| {}).await;
    for service in ["", "synod.v1.NodeService"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let status = HealthClient::new(node.channel.clone()).check(request).await.unwrap().into_inner().status();
        assert_eq!(status, ServingStatus::Serving);
    }
    let expected = ["grpc.health.v1.Health", "synod.v1.NodeService"];
    {
        use v1::{ServerReflectionRequest, server_reflection_request::MessageRequest};
        let list = MessageRequest::ListServices(String::new());
        let request = ServerReflectionRequest { host: String::new(), message_request: Some(list) };
        let mut client = v1::server_reflection_client::ServerReflectionClient::new(node.channel.clone());
        let mut stream = client.server_reflection_info(stream::iter([request])).await.unwrap().into_inner();
        let response = stream.message().await.unwrap().unwrap().message_response.unwrap();
        let v1::server_reflection_response::MessageResponse::ListServicesResponse(list) = response else { panic!() };
        let mut names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
        names.sort();
        assert_eq!(names, expected);
    }
    {
        use v1alpha::{ServerReflectionRequest, server_reflection_request::MessageRequest};
        let symbol = MessageRequest::FileContainingSymbol("synod.v1.NodeService".to_owned());
        let request = ServerReflectionRequest { host: String::new(), message_request: Some(symbol) };
        let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(node.channel.clone());
        let mut stream = client.server_reflection_info(stream::iter([request])).await.unwrap().into_inner();
        let response = stream.message().await.unwrap().unwrap().message_response.unwrap();
        assert!(matches!(response, v1alpha::server_reflection_response::MessageResponse::FileDescriptorResponse(_)));
    }
}

#[tokio::test]
async fn a_draining_node_finishes_what_runs_and_refuses_what_is_new() {
    let host = host().await;
    let _turn = turn().await;
    let mut node = Node::start(host, |options| options.drain_grace = Duration::from_secs(60)).await;
    let mut watch = HealthClient::new(node.channel.clone())
        .watch(HealthCheckRequest { service: "synod.v1.NodeService".to_owned() })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let mut running = node.client().generate(stream::iter([first(start("Count.", 60))])).await.unwrap().into_inner();
    running.message().await.unwrap();
    node.signal();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    let refused = node.client().generate(stream::iter([first(start("hi", 1))])).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::Unavailable, "this node is shutting down: ask another"));
    let mut last = None;
    while let Some(response) = running.message().await.unwrap() {
        last = response.event;
    }
    assert!(matches!(last, Some(Event::Finished(finished)) if finished.usage.unwrap().completion_tokens == 60));
    assert!(watch.message().await.unwrap().is_none(), "watchers are told that it is over");
    node.stopped().await;
}

#[tokio::test]
async fn what_outlasts_the_grace_is_told_so() {
    let host = host().await;
    let _turn = turn().await;
    let mut node = Node::start(host, |options| options.drain_grace = Duration::from_millis(200)).await;
    let mut running = node.client().generate(stream::iter([first(start("Count.", 450))])).await.unwrap().into_inner();
    running.message().await.unwrap();
    node.signal();
    let signalled = Instant::now();
    let status = loop {
        match running.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it ended within the grace"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    node.stopped().await;
    assert!(signalled.elapsed() < Duration::from_secs(3));
}
