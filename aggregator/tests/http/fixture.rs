//! An aggregator with HTTP over a scripted node, and a client that can misbehave.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use serde_json::Value;
use synod_aggregator::{
    Limits, Network, Options, ServeError,
    discovery::{Fixed, Transport},
    http::{Http, HttpLimits, KeyFile, Keys},
    prompts::Prompts,
    records::{Settings, Texts},
    serve_both,
    topology::{Known, from_toml},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

use super::scripted::{Script, ScriptedNode};

/// `mixture` drafts and synthesizes, `chosen` answers with a draft.
const TOPOLOGIES: &str = r#"
default_topology = "mixture"
[topologies.mixture]
deadline = "30s"
[[topologies.mixture.stages]]
kind = "propose"
members = [{ model = "a" }, { model = "b", role = "skeptic" }]
[[topologies.mixture.stages]]
kind = "synthesize"
member = { model = "s" }
[topologies.chosen]
[[topologies.chosen.stages]]
kind = "propose"
members = [{ model = "a", samples = 2 }]
[[topologies.chosen.stages]]
kind = "select"
by = "vote"
"#;

/// How long anything may take here that should not wait.
const SOON: Duration = Duration::from_secs(10);

pub(crate) struct Web {
    pub(crate) address: SocketAddr,
    pub(crate) grpc: SocketAddr,
    pub(crate) node: ScriptedNode,
    pub(crate) keys: KeyFile,
    _folder: TempDir,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<Result<(), ServeError>>,
}

/// What the node's models do.
const MODELS: &[(&str, Script)] = &[
    ("a", Script::Say("draft of a")),
    ("b", Script::Say("draft of b")),
    ("s", Script::Say("the one answer")),
    ("caller", Script::Say("<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": 1}}\n</tool_call>")),
    ("slow", Script::Stall("it begins ")),
];

impl Web {
    /// Open to all, with limits that a test can wait for.
    pub(crate) async fn start() -> Self {
        Self::start_with(HttpLimits { keep_alive: Duration::from_millis(100), ..HttpLimits::standard() }, false).await
    }

    pub(crate) async fn start_with(limits: HttpLimits, with_keys: bool) -> Self {
        let node = ScriptedNode::start("node", MODELS).await;
        let folder = TempDir::new().unwrap();
        let keys = KeyFile::at(folder.path().join("keys.json"));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let in_use = Keys::open(keys.clone(), with_keys).unwrap();
        let http = Http { listener, keys: in_use, origins: Vec::new(), tls: None, limits };
        let (stop, stopped) = oneshot::channel::<()>();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let grpc = listener.local_addr().unwrap();
        let discovery = Box::new(Fixed::new(vec![node.address.to_string()]));
        let network = Network { discovery, transport: Transport::insecure() };
        let records = Settings {
            path: folder.path().join("records.sqlite"),
            max_age: Duration::from_hours(24),
            max_bytes: 1 << 30,
            texts: Texts::Keep,
        };
        let options = Options {
            nodes: Vec::new(),
            topologies: from_toml(TOPOLOGIES, &Known::default()).unwrap(),
            prompts: Prompts::builtin().unwrap(),
            limits: Limits {
                poll_interval: Duration::from_millis(50),
                drain: Duration::from_millis(200),
                ..Limits::standard()
            },
            records: Some(records),
        };
        let shutdown = async move {
            let _ = stopped.await;
        };
        let serving = tokio::spawn(serve_both(listener, Some(http), network, options, shutdown));
        let web = Self { address, grpc, node, keys, _folder: folder, stop: Some(stop), serving };
        if !with_keys {
            web.until_hosted().await;
        }
        web
    }

    /// Until the node was looked at once.
    pub(crate) async fn until_hosted(&self) {
        let began = Instant::now();
        while self.get("/v1/models/slow", &[]).await.status != 200 {
            assert!(began.elapsed() < SOON, "the node is never seen");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        let head = head("GET", path, headers, "");
        self.raw(head.as_bytes()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.post_with(path, &[], body).await
    }

    pub(crate) async fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
        let body = body.to_string();
        self.raw(format!("{}{body}", head("POST", path, headers, &body)).as_bytes()).await
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends these bytes on a connection of their own and reads to its end.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> Reply {
        let mut stream = self.connect().await;
        // A server that has seen enough may close before all was sent.
        let _ = stream.write_all(bytes).await;
        Reply::read(&mut stream).await
    }

    /// Whether somebody else is served as always.
    pub(crate) async fn serves_others(&self) {
        let reply = self.post("/v1/chat/completions", &ask("s")).await;
        assert_eq!(reply.json()["choices"][0]["message"]["content"], "the one answer");
    }

    /// Until the node works on nothing.
    pub(crate) async fn until_idle(&self) {
        let began = Instant::now();
        while self.node.open.load(Ordering::SeqCst) > 0 {
            assert!(began.elapsed() < SOON, "the node still works for somebody who left");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        timeout(SOON, self.serving).await.unwrap().unwrap().unwrap();
    }
}

/// A question to a model.
pub(crate) fn ask(model: &str) -> Value {
    serde_json::json!({"model": model, "messages": [{"role": "user", "content": "Why?"}]})
}

/// The same with more fields.
pub(crate) fn ask_with(model: &str, more: Value) -> Value {
    let mut body = ask(model);
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

pub(crate) fn head(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
    let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    let more: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let kind =
        if headers.iter().any(|(name, _)| *name == "content-type") { "" } else { "content-type: application/json\r\n" };
    let host = if headers.iter().any(|(name, _)| *name == "host") { "" } else { "host: localhost\r\n" };
    format!("{method} {path} HTTP/1.1\r\n{host}{kind}connection: close\r\n{length}{more}\r\n")
}

/// What came back.
pub(crate) struct Reply {
    /// 0 where the connection was closed without a word.
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    /// As it was sent, chunk by chunk.
    pub(crate) body: String,
}

impl Reply {
    pub(crate) async fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        // A reset after the reply is an end too.
        let _ = timeout(SOON, stream.read_to_end(&mut bytes)).await.expect("the reply never ends");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or(0);
        let headers: BTreeMap<String, String> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let chunked = headers.get("transfer-encoding").is_some_and(|encoding| encoding == "chunked");
        let body = if chunked { unchunked(body) } else { body.to_owned() };
        Self { status, headers, body }
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{} {}: {error}", self.status, self.body))
    }

    /// The error, as its status, code and param.
    #[track_caller]
    pub(crate) fn error(&self) -> (u16, Value, Value) {
        let mut error = self.json()["error"].take();
        assert!(error["message"].is_string() && error["type"].is_string(), "{}", self.body);
        (self.status, error["code"].take(), error["param"].take())
    }

    /// The data of server-sent events that are JSON.
    pub(crate) fn events(&self) -> Vec<Value> {
        let data = self.body.lines().filter_map(|line| line.strip_prefix("data: "));
        data.filter(|data| *data != "[DONE]").map(|data| serde_json::from_str(data).unwrap()).collect()
    }
}

fn unchunked(body: &str) -> String {
    let (mut text, mut rest) = (String::new(), body);
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 || after.len() < size {
            break;
        }
        text.push_str(&after[..size]);
        rest = after[size..].trim_start_matches("\r\n");
    }
    text
}
