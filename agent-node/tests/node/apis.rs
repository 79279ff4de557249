//! Catalogues on a node: read from a server that describes itself, searched over gRPC.

use std::sync::Arc;

use serde_json::{Value, json};
use synod_agent_node::apis::{
    Api, Effect, LazyEmbedder, Library,
    Retriever::Bm25,
    calling::{CallError, CallOptions, Choice, call as call_one_of, candidates},
    sources::Source,
};
use synod_models::{
    embed::Embedder,
    engine::{Compute, Engine, EngineOptions},
    store::{CancelToken, Silent, Store},
    text::ChatMessage,
};
use synod_proto::v1::{CallApiRequest, CallApiResponse, Message, Retriever, SearchApisRequest};
use tonic::Code;

use crate::fixture::{CALLER, CHAT, EMBEDDING, Node, caller, host};

fn library(dir: &std::path::Path) -> Arc<Library> {
    let load = || {
        let files = Store::open().unwrap().pull(EMBEDDING, &Silent, &CancelToken::new()).unwrap();
        Ok(Arc::new(Embedder::load(files.weights().parent().unwrap()).unwrap()))
    };
    Arc::new(Library::open(dir, LazyEmbedder::new(load)))
}

#[tokio::test]
async fn a_node_reads_a_servers_own_description_and_finds_its_methods() {
    let (host, dir) = (host().await, tempfile::tempdir().unwrap());
    let apis = library(dir.path());
    let searched = Arc::clone(&apis);
    let node = Node::start(host, |options| options.apis = Some(searched)).await;
    let location = node.endpoint.replace("http://", "grpc://");
    let change = apis.add("node", Source { location, kind: None }, Arc::new(|_, _| {})).await.unwrap();
    assert!(change.skipped.iter().any(|skipped| skipped.place.ends_with("Generate")), "{:?}", change.skipped);
    let search = |query: &str, retriever: Retriever| {
        let (catalogue, query) = ("node".to_owned(), query.to_owned());
        let request = SearchApisRequest { catalogue, query, k: 1, retriever: retriever.into(), ..Default::default() };
        let mut client = node.client();
        async move { client.search_apis(request).await.map(tonic::Response::into_inner) }
    };
    for retriever in [Retriever::Unspecified, Retriever::Dense] {
        let found = search("sentence embeddings of texts", retriever).await.unwrap();
        assert_eq!((found.version.as_str(), found.hits[0].api.as_str()), (change.version.as_str(), "Embed"));
        let api: Api = serde_json::from_str(&found.hits[0].document_json).unwrap();
        assert_eq!(
            (&api.parameters["properties"]["texts"]["type"], api.effect),
            (&"array".into(), Effect::Irreversible)
        );
    }
    let words = search("describe", Retriever::Bm25).await.unwrap();
    assert_eq!(words.hits[0].api, "Describe");
    assert_eq!(search(" ", Retriever::Bm25).await.unwrap_err().code(), Code::InvalidArgument);
    apis.remove("node").unwrap();
    assert_eq!(search("describe", Retriever::Bm25).await.unwrap_err().code(), Code::NotFound);
}

/// Publishes a catalogue with one function, as another process would.
async fn publish(dir: &std::path::Path, function: &Value) {
    let source = dir.join("functions.json");
    std::fs::write(&source, json!([function]).to_string()).unwrap();
    let source = Source { location: source.display().to_string(), kind: None };
    library(dir).add("tools", source, Arc::new(|_, _| {})).await.unwrap();
}

async fn call(node: &Node, request: &str) -> CallApiResponse {
    let messages = vec![Message { role: "user".to_owned(), content: request.to_owned() }];
    let request = CallApiRequest { model: CALLER.to_owned(), messages, ..Default::default() };
    node.client().call_api(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn what_can_be_called_follows_the_catalogue_as_it_changes() {
    let (host, dir) = (caller().await, tempfile::tempdir().unwrap());
    let apis = library(dir.path());
    let node = Node::start(host, |options| options.apis = Some(apis)).await;
    let request = "What is the weather in Oslo right now?";
    let city = json!({ "type": "string", "description": "the city" });
    let description = "Get the current weather of a city";

    let parameters = json!({ "type": "object", "properties": { "city": city }, "required": ["city"] });
    publish(dir.path(), &json!({ "name": "get_weather", "description": description, "parameters": parameters })).await;
    let called = call(&node, request).await;
    assert_eq!(called.retrieved[0].api, "get_weather");
    let arguments: Vec<&str> = called.calls.iter().map(|call| call.arguments_json.as_str()).collect();
    assert_eq!(arguments, [r#"{"city":"Oslo"}"#]);

    // Renamed, and with one argument more.
    let units = json!({ "type": "string", "enum": ["metric"] });
    let properties = json!({ "city": city, "units": units });
    let parameters = json!({ "type": "object", "properties": properties, "required": ["city", "units"] });
    publish(dir.path(), &json!({ "name": "read_weather", "description": description, "parameters": parameters })).await;
    let called = call(&node, request).await;
    assert_eq!(called.retrieved[0].api, "read_weather");
    let arguments: Vec<&str> = called.calls.iter().map(|call| call.arguments_json.as_str()).collect();
    assert_eq!(arguments, [r#"{"city":"Oslo","units":"metric"}"#]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_more_is_computed_for_a_caller_that_has_gone() {
    let function = json!({ "name": "get_weather", "parameters": { "type": "object", "properties": {} } });
    let dir = tempfile::tempdir().unwrap();
    publish(dir.path(), &function).await;
    let work = move || {
        let model = Store::open().unwrap().pull(CHAT, &Silent, &CancelToken::new()).unwrap();
        let engine = Engine::load(model.weights(), &Compute::new(0), EngineOptions::standard()).unwrap();
        let hits = library(dir.path()).get("tools").unwrap().search("weather", 1, Bm25).unwrap();
        [Choice::Judged, Choice::Written].map(|choice| {
            let options = CallOptions { choice, ..CallOptions::standard() };
            options.abandoned.cancel();
            let request = [ChatMessage { role: "user".to_owned(), content: "The weather?".to_owned() }];
            call_one_of(&engine, &request, &candidates(&hits), &options).map(|outcome| outcome.decision)
        })
    };
    for outcome in tokio::task::spawn_blocking(work).await.unwrap() {
        assert!(matches!(outcome, Err(CallError::Abandoned)), "{outcome:?}");
    }
}
