//! A server that answers as it is told, and an executor that may reach it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use synod_agent_node::apis::execute::{
    Consent, Entry, ExecuteError, Executor, ExecutorConfig, Guard, Limits, Outcome, Policy, Rule, SystemLookup,
};
use synod_agent_node::apis::{Api, Binding, Call, Effect, HttpBinding, HttpMethod, Notation, Place};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How a server answers.
pub(crate) enum Reply {
    /// With this, and then it closes.
    Bytes(Vec<u8>),
    /// With this, and then the other for ever.
    Endless(&'static str, Vec<u8>),
    /// With this, and then nothing.
    Silence(&'static str),
}

impl Reply {
    /// A whole response.
    pub(crate) fn http(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let mut bytes = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
        bytes.extend_from_slice(body);
        Self::Bytes(bytes)
    }

    pub(crate) fn json(value: &Value) -> Self {
        Self::http("200 OK", "Content-Type: application/json\r\n", value.to_string())
    }

    pub(crate) fn redirect(status: &str, to: &str) -> Self {
        Self::http(status, &format!("Location: {to}\r\n"), "")
    }
}

/// A server, and all that was sent to it.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Answers every request with what `reply` makes of its text. Ends with the test's runtime.
    pub(crate) async fn start(reply: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, seen) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let log = Arc::clone(&seen);
        let reply: Arc<dyn Fn(&str) -> Reply + Send + Sync> = Arc::new(reply);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&log), Arc::clone(&reply)));
            }
        });
        Self { address, seen }
    }

    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn answer(mut stream: TcpStream, log: Arc<Mutex<Vec<String>>>, reply: Arc<dyn Fn(&str) -> Reply + Send + Sync>) {
    let mut request = vec![0; 64 * 1024];
    let mut length = 0;
    // Bodies of these tests come with their head.
    while !request[..length].windows(4).any(|four| four == b"\r\n\r\n") {
        match stream.read(&mut request[length..]).await {
            Ok(read) if read > 0 => length += read,
            _ => return,
        }
    }
    let request = String::from_utf8_lossy(&request[..length]).into_owned();
    log.lock().unwrap().push(request.clone());
    // A client that has had enough hangs up.
    let _ = match reply(&request) {
        Reply::Bytes(bytes) => stream.write_all(&bytes).await,
        Reply::Endless(head, more) => {
            let _ = stream.write_all(head.as_bytes()).await;
            while stream.write_all(&more).await.is_ok() {}
            Ok(())
        }
        Reply::Silence(head) => {
            let _ = stream.write_all(head.as_bytes()).await;
            std::future::pending().await
        }
    };
}

/// An executor, and the folder of its journal.
pub(crate) struct Confined {
    pub(crate) config: ExecutorConfig,
    pub(crate) folder: TempDir,
}

impl Confined {
    /// May reach these addresses, makes every call, and waits long enough.
    pub(crate) fn to(addresses: &[SocketAddr]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let networks = addresses.iter().map(|address| address.to_string().parse().unwrap()).collect();
        let config = ExecutorConfig {
            policy: Policy { read: Rule::Auto, reversible: Rule::Auto, irreversible: Rule::Auto },
            guard: Guard { hosts: Vec::new(), networks, lookup: Arc::new(SystemLookup) },
            limits: Limits { time: Duration::from_secs(20), ..Limits::USUAL },
            credentials: BTreeMap::new(),
            journal: folder.path().join("journal.jsonl"),
        };
        Self { config, folder }
    }

    pub(crate) fn executor(&self) -> Executor {
        Executor::new(self.config.clone()).unwrap()
    }

    pub(crate) async fn call(&self, api: &Api, arguments: Value) -> Result<Outcome, ExecuteError> {
        self.executor().execute(api, &call(api, arguments), Consent::None).await
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.executor().journal().entries().unwrap()
    }
}

/// `METHOD server/things/{id}`, with an argument in every place.
pub(crate) fn api(server: &str, method: HttpMethod, effect: Effect) -> Api {
    let places = [("id", Place::Path), ("q", Place::Query), ("x-tag", Place::Header), ("text", Place::Body)];
    let is_read = matches!(method, HttpMethod::Get);
    let places = places.into_iter().filter(|(_, place)| !is_read || *place != Place::Body);
    let places: BTreeMap<_, _> = places.map(|(name, place)| (name.to_owned(), place)).collect();
    let properties: serde_json::Map<_, _> = places.keys().map(|name| (name.clone(), json!({}))).collect();
    let binding =
        HttpBinding { method, server: server.to_owned(), path: "/things/{id}".to_owned(), places, credential: None };
    Api {
        name: "thing".to_owned(),
        description: "Does a thing".to_owned(),
        domain: String::new(),
        parameters: json!({"type": "object", "properties": properties, "required": ["id"], "additionalProperties": false}),
        notation: Notation::Json,
        binding: Some(Binding::Http(binding)),
        effect,
        details: Default::default(),
    }
}

pub(crate) fn read(server: &str) -> Api {
    api(server, HttpMethod::Get, Effect::Read)
}

pub(crate) fn call(api: &Api, arguments: Value) -> Call {
    let Value::Object(arguments) = arguments else { panic!("no object") };
    Call { api: api.name.clone(), arguments }
}

/// The error, which is in the journal as well.
#[track_caller]
pub(crate) fn said(outcome: Result<Outcome, ExecuteError>) -> String {
    outcome.expect_err("it got through").to_string()
}
