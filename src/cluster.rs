//! A cluster on this machine: nodes as child processes, watched and started again, and an aggregator in this process.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use synod_aggregator::discovery::{Fixed, Transport};
use synod_aggregator::http::Http;
use synod_aggregator::records::Settings;
use synod_aggregator::{Limits, Network, Options, Window, prompts::Prompts, topology::Topologies};
use synod_models::engine::Device;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::exit::{ExitCode, Failure};

/// How long a node may take to load its models.
const LOADING: Duration = Duration::from_secs(300);
/// How long a node gets to finish what runs on it.
const STOPPING: Duration = Duration::from_secs(12);
/// Between the end of a node and its next start: doubled each time, up to the longest.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A node to start.
#[derive(Debug, Clone)]
pub(crate) struct NodeSpec {
    /// What it hosts.
    pub(crate) models: Vec<String>,
    /// Port 0 for any.
    pub(crate) listen: SocketAddr,
    /// 0 for one a core.
    pub(crate) threads: usize,
    /// What it computes on.
    pub(crate) device: Device,
    /// Where it serves metrics and health over HTTP, if it does.
    pub(crate) metrics: Option<SocketAddr>,
    /// The file of `--config`: what it says of models and of APIs holds for the node, too.
    pub(crate) config_file: Option<PathBuf>,
}

/// A node's process. Its standard input is kept apart: waiting for a child closes its input, which would end it.
struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
}

/// Nodes that run, and the aggregator over them. Stopped by [`Cluster::stop`]; dropped, its processes are killed.
pub(crate) struct Cluster {
    /// The aggregator's address.
    pub(crate) aggregator: SocketAddr,
    /// What each node hosts, and its address.
    pub(crate) nodes: Vec<(Vec<String>, SocketAddr)>,
    /// What the aggregator is doing.
    pub(crate) window: Window,
    nodes_stop: CancellationToken,
    watchers: JoinSet<()>,
    aggregator_stop: CancellationToken,
    serving: JoinHandle<Result<(), Failure>>,
}

impl Cluster {
    /// Starts the nodes, waits until all host their models, then serves the aggregator on `listener`.
    ///
    /// # Errors
    /// A node does not start, for instance because its port is taken.
    pub(crate) async fn start(
        specs: Vec<NodeSpec>,
        others: Vec<String>,
        listener: TcpListener,
        topologies: Topologies,
        records: Option<Settings>,
    ) -> Result<Self, Failure> {
        let transport = Transport::new(None, false);
        Self::start_over(transport, specs, others, listener, None, topologies, records).await
    }

    /// The same with certificates for callers and for nodes elsewhere. Its own nodes are reached in the clear.
    pub(crate) async fn start_over(
        transport: Transport,
        specs: Vec<NodeSpec>,
        others: Vec<String>,
        listener: TcpListener,
        http: Option<Http>,
        topologies: Topologies,
        records: Option<Settings>,
    ) -> Result<Self, Failure> {
        let (mut starting, insecure) = (JoinSet::new(), transport.insecure);
        for spec in specs {
            starting
                .spawn(async move { start(&spec, insecure).await.map(|(process, address)| (spec, process, address)) });
        }
        let (nodes_stop, mut watchers, mut nodes) = (CancellationToken::new(), JoinSet::new(), Vec::new());
        while let Some(started) = starting.join_next().await {
            let (spec, process, address) = started.map_err(|error| failed(error.to_string()))??;
            nodes.push((spec.models.clone(), address));
            // It comes back where it was: the aggregator knows that address.
            let spec = NodeSpec { listen: address, ..spec };
            watchers.spawn(watch(spec, insecure, process, nodes_stop.clone()));
        }
        nodes.sort_by_key(|(_, address)| address.port());
        let addresses = nodes.iter().map(|(_, address)| format!("http://{address}")).chain(others).collect();
        let network = Network { discovery: Box::new(Fixed::new(addresses)), transport };
        let (prompts, limits) = (prompts()?, Limits::standard());
        let options = Options { nodes: Vec::new(), topologies, prompts, limits, records };
        let aggregator = listener.local_addr().map_err(|error| failed(error.to_string()))?;
        let aggregator_stop = CancellationToken::new();
        let (stop, window) = (aggregator_stop.clone().cancelled_owned(), Window::default());
        let shown = window.clone();
        let serving = tokio::spawn(async move {
            let served = synod_aggregator::serve_watched(listener, http, network, options, shown, stop).await;
            served.map_err(|error| failed(crate::exit::with_causes(&error)))
        });
        Ok(Self { aggregator, nodes, window, nodes_stop, watchers, aggregator_stop, serving })
    }

    /// Lets what runs finish, then ends all.
    pub(crate) async fn stop(mut self) -> Result<(), Failure> {
        self.aggregator_stop.cancel();
        let served = (&mut self.serving).await;
        self.nodes_stop.cancel();
        while self.watchers.join_next().await.is_some() {}
        served.map_err(|error| failed(error.to_string()))?
    }
}

/// The prompt texts in use.
pub(crate) fn prompts() -> Result<Prompts, Failure> {
    Prompts::builtin().map_err(|error| failed(error.to_string()))
}

/// Starts a node process; waits until it says where it listens and that it is ready.
async fn start(spec: &NodeSpec, insecure: bool) -> Result<(Process, SocketAddr), Failure> {
    let program = std::env::current_exe().map_err(|error| failed(format!("cannot find this program: {error}")))?;
    let mut command = Command::new(program);
    command
        .args(["node", "--until-stdin-closes", "--model", &spec.models.join(",")])
        .args(["--listen", &spec.listen.to_string(), "--threads", &spec.threads.to_string()])
        .args(["--device", spec.device.name()])
        .args(spec.metrics.map(|metrics| format!("--metrics-listen={metrics}")))
        .args(insecure.then_some("--insecure"))
        .args(spec.config_file.iter().flat_map(|file| [OsStr::new("--config"), file.as_os_str()]))
        .envs(crate::telemetry::environment())
        .stdin(Stdio::piped()) // closes with this process, however it ends
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0) // Ctrl-C is for us; we tell the nodes
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| failed(format!("cannot start a node: {error}")))?;
    let (stdin, lines, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let said = tokio::spawn(gather(errors));
    let ready = async {
        let mut lines = BufReader::new(lines?).lines();
        let mut address = None;
        while let Ok(Some(line)) = lines.next_line().await {
            if let Some(bound) = line.strip_prefix("node listening on ") {
                address = bound.parse().ok();
            }
            if line == "ready" {
                // Whatever it still says goes nowhere, but must not fill the pipe.
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return address;
            }
        }
        None
    };
    match tokio::time::timeout(LOADING, ready).await {
        Ok(Some(address)) => Ok((Process { child, stdin }, address)),
        Ok(None) => {
            let _ = child.wait().await;
            let said = said.await.unwrap_or_default();
            let said = said.trim().trim_start_matches("error: ");
            Err(failed(format!("the node for {} did not start: {said}", spec.models.join(", "))))
        }
        Err(_) => Err(failed(format!("the node for {} took too long to load", spec.models.join(", ")))),
    }
}

/// The last of what a process says; it is read to its end so that the pipe never fills.
async fn gather(errors: Option<tokio::process::ChildStderr>) -> String {
    const KEEP: usize = 40;
    let Some(errors) = errors else { return String::new() };
    let mut lines = BufReader::new(errors).lines();
    let mut kept = std::collections::VecDeque::new();
    while let Ok(Some(line)) = lines.next_line().await {
        tracing::debug!(target: "synod::node", "{line}");
        kept.push_back(line);
        if kept.len() > KEEP {
            kept.pop_front();
        }
    }
    Vec::from(kept).join("\n")
}

/// Starts the node again whenever it ends, until told to stop; then ends it gently.
async fn watch(spec: NodeSpec, insecure: bool, mut process: Process, stop: CancellationToken) {
    let mut pause = PAUSE;
    loop {
        tokio::select! {
            () = stop.cancelled() => return end(process).await,
            status = process.child.wait() => {
                let status = status.map(|status| status.to_string()).unwrap_or_default();
                tracing::warn!(models = spec.models.join(","), status, "a node ended; starting it again");
            }
        }
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            match start(&spec, insecure).await {
                Ok((again, _)) => {
                    process = again;
                    pause = PAUSE;
                    break;
                }
                Err(failure) => {
                    tracing::warn!("{}", failure.message);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }
}

/// Closing its input tells a node to drain.
async fn end(Process { mut child, stdin }: Process) {
    drop(stdin);
    if tokio::time::timeout(STOPPING, child.wait()).await.is_err() {
        let _ = child.kill().await; // it may have ended at last
    }
}

fn failed(message: impl Into<String>) -> Failure {
    Failure::new(ExitCode::Failed, message)
}

/// Binds `address`, or says whose fault it is.
pub(crate) async fn bind(address: SocketAddr, flag: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        let hint = format!("choose another with {flag}, or stop what listens there");
        failed(format!("cannot listen on {address}: {error}")).hint(hint)
    })
}

/// Resolves when the parent closes our standard input.
pub(crate) async fn stdin_closed() {
    let (sender, receiver) = oneshot::channel();
    // A thread of its own: tokio's standard input would keep the runtime from ending.
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = sender.send(()); // nobody waits any more
    });
    let _ = receiver.await;
}
