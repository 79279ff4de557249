//! Two nodes and an aggregator that tell all they have to tell.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use synod_proto::v1::{
    AskRequest, Message, Overrides, RunFinished, Sampling, aggregator_service_client::AggregatorServiceClient,
    ask_response::Event,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Request;

use crate::support::{MODEL, Process};

/// What embeds on every node.
pub(crate) const EMBEDDER: &str = "all-minilm-l6-v2";

/// How long anything here may take that no model computes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Processes, and where they can be asked how they are.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Process>,
    pub(crate) aggregator: Process,
    folder: TempDir,
}

impl Cluster {
    /// So many nodes, all of which send spans to `collector`, if there is one.
    pub(crate) fn start(nodes: usize, collector: Option<&str>) -> Self {
        Self::start_with(nodes, collector, &[])
    }

    /// The same, with this in the aggregator's environment.
    pub(crate) fn start_with(nodes: usize, collector: Option<&str>, environment: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().unwrap();
        let node = |at| {
            // Three seats are too many for one node, where there are two.
            let models = format!("{MODEL},{EMBEDDER}");
            let listen =
                ["node", "--model", &models, "--listen", "127.0.0.1:0", "--threads", "1", "--max-running", "2"];
            let command = synod(&folder.path().join(format!("node-{at}.log")), collector, &listen);
            run(command, &["--metrics-listen", "127.0.0.1:0"], "node listening on ")
        };
        let nodes: Vec<Process> = (0..nodes).map(node).collect();
        let listen = ["aggregator", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"];
        let mut command = synod(&folder.path().join("aggregator.log"), collector, &listen);
        command.envs(environment.iter().copied());
        let named: Vec<&str> = nodes.iter().flat_map(|node| ["--node", node.address.as_str()]).collect();
        let aggregator = run(command, &named, "aggregator listening on ");
        Self { nodes, aggregator, folder }
    }

    /// A mixture of three layers, all of it by the small model, which writes little.
    pub(crate) async fn ask(&self, run_id: &str, question: &str, traceparent: Option<&str>) -> RunFinished {
        self.ask_for(12, run_id, question, traceparent).await
    }

    /// The same, with at most so many tokens a seat.
    pub(crate) async fn ask_for(
        &self,
        tokens: u32,
        run_id: &str,
        question: &str,
        traceparent: Option<&str>,
    ) -> RunFinished {
        let url = format!("http://{}", self.aggregator.address);
        let mut client = AggregatorServiceClient::connect(url).await.unwrap();
        let message = Message { role: "user".to_owned(), content: question.to_owned() };
        let mut request = Request::new(AskRequest {
            messages: vec![message],
            topology: "moa-3".to_owned(),
            sampling: Some(Sampling { max_tokens: Some(tokens), seed: Some(7), ..Sampling::default() }),
            overrides: Some(Overrides {
                proposers: vec![MODEL.to_owned(); 3],
                synthesizer: Some(MODEL.to_owned()),
                quorum: Some(3),
            }),
            run_id: run_id.to_owned(),
            ..AskRequest::default()
        });
        if let Some(traceparent) = traceparent {
            request.metadata_mut().insert("traceparent", traceparent.parse().unwrap());
        }
        let mut events = client.ask(request).await.unwrap().into_inner();
        let mut finished = None;
        while let Some(event) = events.message().await.unwrap() {
            if let Some(Event::RunFinished(run)) = event.event {
                finished = Some(run);
            }
        }
        finished.expect("the run has no answer")
    }

    /// What all processes have logged.
    pub(crate) fn logs(&self) -> String {
        let files = std::fs::read_dir(self.folder.path()).unwrap();
        files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect()
    }

    /// `host:port` where the aggregator speaks HTTP.
    pub(crate) fn http(&self) -> String {
        let url = self.aggregator.said("HTTP on ");
        url.trim_start_matches("http://").trim_end_matches("/v1").to_owned()
    }

    /// `host:port` where a node does.
    pub(crate) fn node_http(&self, at: usize) -> String {
        let url = self.nodes[at].said("metrics on ");
        url.trim_start_matches("http://").trim_end_matches("/metrics").to_owned()
    }
}

fn synod(log: &Path, collector: Option<&str>, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_synod"));
    let log: PathBuf = log.to_owned();
    command.args(arguments).stderr(File::create(log).unwrap());
    // Soon, and in the environment of whoever runs this nothing counts.
    command.env_remove("OTEL_EXPORTER_OTLP_ENDPOINT").env("OTEL_BSP_SCHEDULE_DELAY", "100");
    if let Some(collector) = collector {
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector);
    }
    command
}

fn run(mut command: Command, more: &[&str], prefix: &str) -> Process {
    command.args(more);
    if !command.get_envs().any(|(name, _)| name == "RUST_LOG") {
        command.env("RUST_LOG", "trace");
    }
    Process::run(command, prefix)
}

/// Status and body.
pub(crate) async fn get(address: &str, path: &str) -> (u16, String) {
    send(address, &format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")).await
}

/// Status and body of a request, word for word.
pub(crate) async fn send(address: &str, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Asks until it says that.
pub(crate) async fn until(address: &str, path: &str, status: u16) -> String {
    let began = Instant::now();
    loop {
        let (now, body) = get(address, path).await;
        if now == status {
            return body;
        }
        assert!(began.elapsed() < PATIENCE, "{path} is {now} and never {status}: {body}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
