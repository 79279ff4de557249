//! An API server on loopback that lists and watches one kind.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    body::Body,
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use synod_aggregator::discovery::{Discovery, Kubernetes};
use tokio::{
    net::TcpListener,
    sync::{Notify, watch},
    task::JoinSet,
};

use crate::contract::{Backend, check};

const SELECTOR: &str = "kubernetes.io/service-name=synod-nodes";

struct ApiServer {
    address: SocketAddr,
    world: Arc<World>,
    _serving: JoinSet<()>,
}

struct World {
    /// Version and nodes; nothing while it is away.
    nodes: watch::Sender<Option<(u64, Vec<String>)>>,
    remembered: Mutex<(u64, Vec<String>)>,
    asked_in_vain: Notify,
}

impl ApiServer {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let first = (1, Vec::new());
        let world = Arc::new(World {
            nodes: watch::channel(Some(first.clone())).0,
            remembered: Mutex::new(first),
            asked_in_vain: Notify::new(),
        });
        let path = "/apis/discovery.k8s.io/v1/namespaces/synod/endpointslices";
        let router = Router::new().route(path, get(slices)).with_state(Arc::clone(&world));
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, world, _serving: serving }
    }
}

#[derive(Debug)]
struct Asked {
    selector: String,
    watch: bool,
    version: String,
}

impl Asked {
    fn from(query: &[(String, String)]) -> Self {
        let of = |key: &str| query.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone());
        Self {
            selector: of("labelSelector").unwrap_or_default(),
            watch: of("watch").is_some_and(|watch| watch == "true" || watch == "1"),
            version: of("resourceVersion").unwrap_or_default(),
        }
    }
}

async fn slices(State(world): State<Arc<World>>, Query(query): Query<Vec<(String, String)>>) -> Response {
    let asked = Asked::from(&query);
    let mut nodes = world.nodes.subscribe();
    let Some((version, listed)) = nodes.borrow_and_update().clone() else {
        world.asked_in_vain.notify_one();
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let items = if asked.selector == SELECTOR { vec![slice(version, &listed)] } else { Vec::new() };
    if !asked.watch {
        let list = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSliceList",
            "metadata": { "resourceVersion": version.to_string() }, "items": items,
        });
        return Json(list).into_response();
    }
    if asked.version != version.to_string() {
        let gone = json!({ "type": "ERROR", "object": {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 410, "reason": "Expired",
            "message": "too old resource version",
        } });
        return line(&gone).into_response();
    }
    // Ends when the world goes away.
    let changes = stream::unfold(nodes, |mut nodes| async move {
        nodes.changed().await.ok()?;
        let (version, listed) = nodes.borrow_and_update().clone()?;
        let event = json!({ "type": "MODIFIED", "object": slice(version, &listed) });
        Some((Ok::<_, Infallible>(line(&event)), nodes))
    });
    Body::from_stream(changes.boxed()).into_response()
}

fn line(value: &Value) -> String {
    format!("{value}\n")
}

/// A slice with these nodes, and a pod that is not ready; of two ports ours is the second.
fn slice(version: u64, nodes: &[String]) -> Value {
    let endpoint = |node: &String| json!({ "addresses": [node.rsplit_once(':').unwrap().0], "conditions": {} });
    let mut endpoints: Vec<_> = nodes.iter().map(endpoint).collect();
    endpoints.push(json!({ "addresses": ["10.0.0.99"], "conditions": { "ready": false } }));
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": { "name": "synod-nodes-x", "namespace": "synod", "resourceVersion": version.to_string() },
        "ports": [{ "name": "metrics", "port": 9090 }, { "name": "grpc", "port": 7610 }],
        "endpoints": endpoints,
    })
}

impl Backend for ApiServer {
    async fn set(&mut self, nodes: &[&str]) {
        let now = {
            let mut remembered = self.world.remembered.lock().unwrap();
            *remembered = (remembered.0 + 1, nodes.iter().map(|node| (*node).to_owned()).collect());
            remembered.clone()
        };
        self.world.nodes.send_replace(Some(now));
    }

    fn discovery(&self) -> Box<dyn Discovery> {
        let config = kube::Config::new(format!("http://{}", self.address).parse().unwrap());
        let client = kube::Client::try_from(config).unwrap();
        let (namespace, port) = (Some("synod".to_owned()), Some("grpc".to_owned()));
        Box::new(Kubernetes::with_client(client, namespace, SELECTOR.to_owned(), port))
    }

    async fn go_away(&mut self) {
        self.world.nodes.send_replace(None);
        self.world.asked_in_vain.notified().await;
    }

    async fn come_back(&mut self) {
        let now = self.world.remembered.lock().unwrap().clone();
        self.world.nodes.send_replace(Some(now));
    }
}

#[tokio::test]
async fn kubernetes_keeps_the_promise() {
    check(ApiServer::start().await).await;
}
