//! A cluster of real processes stays whole while its parts come and go.
//!
//! The long tests: `cargo test --release --locked --features etcd --test cluster -- --include-ignored --nocapture`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests, which say what they measured"
)]

#[path = "support/certificates.rs"]
mod certificates;
#[cfg(feature = "etcd")]
#[path = "support/etcd.rs"]
mod etcd;
#[path = "support/load.rs"]
mod load;
#[allow(dead_code, reason = "other tests use the rest")]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use certificates::Authority;
use load::Load;
use support::{MODEL, Process};
use synod_proto::v1::{ListNodesRequest, Node, aggregator_service_client::AggregatorServiceClient};
use synod_tls::{NamePattern, Names, Tls, TlsFiles};
use tempfile::TempDir;
use tonic::transport::Endpoint;

const NODES: &str = "spiffe://example.org/synod/node/*";

/// Two seats and a synthesis, short enough for a test; `rest` says where nodes are.
fn config(folder: &Path, rest: &str) -> PathBuf {
    let path = folder.join("synod.toml");
    let text = format!(
        r#"
default_topology = "two"

[topologies.two]
description = "two seats"
deadline = "60s"

[[topologies.two.stages]]
kind = "propose"
quorum = 1
grace = "20s"
members = [{{ model = "{MODEL}", samples = 2, max_tokens = 24 }}]

[[topologies.two.stages]]
kind = "synthesize"
member = {{ model = "{MODEL}", max_tokens = 24, temperature = 0.2 }}

{rest}
"#
    );
    fs::write(&path, text).unwrap();
    path
}

/// A process that can be started again as it was, where it was.
struct Restartable {
    arguments: Vec<String>,
    prefix: &'static str,
    process: Process,
}

impl Restartable {
    fn start(mut arguments: Vec<String>, prefix: &'static str) -> Self {
        let process = start(&arguments, prefix);
        let at = arguments.iter().position(|argument| argument == "--listen").unwrap() + 1;
        arguments[at].clone_from(&process.address);
        Self { arguments, prefix, process }
    }

    fn address(&self) -> String {
        self.process.address.clone()
    }

    /// Drains it and starts it again.
    fn restart(&mut self) {
        let ended = self.process.terminate();
        assert!(ended.success(), "{:?} did not drain: {ended}", self.arguments);
        self.process = start(&self.arguments, self.prefix);
    }
}

fn start(arguments: &[String], prefix: &str) -> Process {
    Process::start(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), prefix)
}

fn strings<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(ToOwned::to_owned).to_vec()
}

fn node(more: Vec<String>) -> Restartable {
    let mut arguments = strings(["node", "--model", MODEL, "--listen", "127.0.0.1:0", "--threads", "1"]);
    arguments.extend(more);
    Restartable::start(arguments, "node listening on ")
}

fn aggregator(config: &Path, more: Vec<String>) -> Restartable {
    let mut arguments = strings(["aggregator", "--listen", "127.0.0.1:0", "--config", config.to_str().unwrap()]);
    arguments.extend(more);
    Restartable::start(arguments, "aggregator listening on ")
}

fn tls_flags(files: &TlsFiles, clients: &str) -> Vec<String> {
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let mut flags = strings(["--tls-clients", clients]);
    for (flag, path) in [("--tls-cert", &files.cert), ("--tls-key", &files.key), ("--tls-ca", &files.ca)] {
        flags.extend([flag.to_owned(), text(path)]);
    }
    flags
}

/// Restarts every process of a cluster in turn while questions flow; nobody notices.
async fn rolling_restart(nodes: usize, aggregators: usize) {
    let (folder, authority) = (TempDir::new().unwrap(), Authority::new());
    let files = |name: String| authority.files(folder.path(), &name);
    let node = |at| node(tls_flags(&files(format!("node/{at}")), "spiffe://example.org/synod/aggregator/*"));
    let mut processes: Vec<_> = (0..nodes).map(node).collect();
    let urls: Vec<_> = processes.iter().map(|node| format!("\"https://{}\"", node.address())).collect();
    let config = config(folder.path(), &format!("[aggregator]\nnodes = [{}]", urls.join(", ")));
    let aggregator = |at| {
        let mut flags = tls_flags(&files(format!("aggregator/{at}")), "spiffe://example.org/synod/user/*");
        flags.extend(strings(["--tls-nodes", NODES]));
        aggregator(&config, flags)
    };
    processes.extend((0..aggregators).map(aggregator));

    let aggregators: Vec<_> = processes[nodes..].iter().map(Restartable::address).collect();
    let name = |text| NamePattern::try_new(text).unwrap();
    let names = Names { servers: vec![name("spiffe://example.org/synod/aggregator/*")], clients: Vec::new() };
    let tls = Arc::new(Tls::open(files("user/a".to_owned()), names).unwrap());
    let load = Load::start(2, &aggregators, Some(Arc::clone(&tls)));
    load.answers(1).await;
    let began = std::time::Instant::now();
    for (at, process) in processes.iter_mut().enumerate() {
        let url = format!("https://{}", process.address());
        let before = if at < nodes { listed(&aggregators[0], &tls, &url).await.id } else { String::new() };
        process.restart();
        // As whoever restarts nodes in turn does: the next one when this one is used again, which takes up to two looks.
        for aggregator in aggregators.iter().filter(|_| at < nodes) {
            until_used(aggregator, &tls, &url, &before).await;
        }
        load.answers(2).await;
    }
    let (answered, failures) = load.finish().await;
    println!("{answered} runs in {:?} of restarts, {} failed", began.elapsed(), failures.len());
    assert_eq!(failures.first(), None);
}

async fn listed(aggregator: &str, tls: &Arc<Tls>, url: &str) -> Node {
    let endpoint = Endpoint::from_shared(format!("http://{aggregator}")).unwrap();
    let mut client = AggregatorServiceClient::new(Arc::clone(tls).channel(&endpoint));
    let nodes = client.list_nodes(ListNodesRequest {}).await.unwrap().into_inner().nodes;
    nodes.into_iter().find(|node| node.address == url).unwrap()
}

/// Waits until the node's new process is used; `before` is the id of the old one.
async fn until_used(aggregator: &str, tls: &Arc<Tls>, url: &str, before: &str) {
    let waiting = async {
        loop {
            let node = listed(aggregator, tls, url).await;
            if node.error.is_empty() && node.id != before {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("the node is not used again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_and_an_aggregator_restart_and_no_run_fails() {
    rolling_restart(2, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn four_nodes_and_two_aggregators_restart_in_turn_and_no_run_fails() {
    rolling_restart(4, 2).await;
}

#[track_caller]
fn refused(arguments: &[&str], code: i32, expected: &str) {
    let output = Command::new(env!("CARGO_BIN_EXE_synod")).args(arguments).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(expected), "no `{expected}` in {said}");
}

#[test]
fn nobody_serves_other_machines_in_the_clear_by_mistake() {
    refused(&["node", "--model", MODEL, "--listen", "0.0.0.0:0"], 64, "--insecure");
    refused(&["aggregator", "--listen", "[::]:0", "--node", "127.0.0.1:1"], 64, "--tls-cert");
    refused(&["up", "--listen", "0.0.0.0:0"], 64, "--insecure");
    refused(&["node", "--model", MODEL, "--tls-cert", "/nowhere.pem"], 64, "tls.key: is missing");
    let files = ["--tls-cert", "/nowhere.pem", "--tls-key", "/nowhere.key", "--tls-ca", "/nowhere.ca"];
    refused(&[&["node", "--model", MODEL], &files[..]].concat(), 64, "/nowhere.pem");
}

#[cfg(feature = "etcd")]
mod with_etcd {
    use std::time::Instant;

    use super::*;
    use crate::etcd::EtcdCluster;

    /// How long a node may take to appear or to vanish; a lease is ten seconds.
    const PATIENCE: Duration = Duration::from_secs(30);

    /// Waits until the aggregator knows so many nodes by address.
    async fn until_known(aggregator: &str, address: &str, known: bool) -> Duration {
        let began = Instant::now();
        let mut client = AggregatorServiceClient::connect(format!("http://{aggregator}")).await.unwrap();
        loop {
            let listed = client.list_nodes(ListNodesRequest {}).await.unwrap().into_inner().nodes;
            // A node that was looked at has told its id.
            let is_known = listed.iter().any(|node| node.address == address && !node.id.is_empty());
            if is_known == known {
                return began.elapsed();
            }
            assert!(began.elapsed() < PATIENCE, "{address} known: {is_known}; {listed:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "a minute; needs etcd"]
    async fn etcd_loses_its_leader_and_then_everything_and_no_run_fails() {
        let mut etcd = EtcdCluster::start(3).await;
        let folder = TempDir::new().unwrap();
        let endpoints = etcd.endpoints();
        let discovery = format!("[aggregator.discovery]\nkind = \"etcd\"\nendpoints = {endpoints:?}");
        let members: Vec<_> = endpoints.iter().map(|url| url.trim_start_matches("http://")).collect();
        let register = format!("etcd://{}", members.join(","));
        let registered = || node(strings(["--register", &register]));
        let (first, second) = (registered(), registered());
        let aggregator = aggregator(&config(folder.path(), &discovery), Vec::new());
        let address = aggregator.address();
        until_known(&address, &first.address(), true).await;
        until_known(&address, &second.address(), true).await;

        let load = Load::start(2, std::slice::from_ref(&address), None);
        load.answers(1).await;
        let mut third = registered();
        println!("a node joins in {:?} after it is ready", until_known(&address, &third.address(), true).await);
        let began = Instant::now();
        let (third_address, ending) = (third.address(), std::thread::spawn(move || third.process.terminate()));
        until_known(&address, &third_address, false).await;
        println!("it leaves in {:?} after SIGTERM", began.elapsed());
        assert!(ending.join().unwrap().success());

        let mut fourth = registered();
        until_known(&address, &fourth.address(), true).await;
        fourth.process.kill();
        println!("it is forgotten {:?} after kill -9", until_known(&address, &fourth.address(), false).await);

        etcd.kill_leader().await;
        load.answers(3).await;
        let fifth = registered();
        println!("without the leader one joins in {:?}", until_known(&address, &fifth.address(), true).await);
        etcd.stop_all();
        // Longer than any lease.
        let away = Instant::now();
        while away.elapsed() < Duration::from_secs(15) {
            load.answers(1).await;
        }
        etcd.start_all().await;
        let sixth = registered();
        println!("after etcd is back one joins in {:?}", until_known(&address, &sixth.address(), true).await);
        load.answers(3).await;
        let (answered, failures) = load.finish().await;
        println!("{answered} runs, {} failed", failures.len());
        assert_eq!(failures.first(), None);
        for node in [&first, &second, &fifth] {
            until_known(&address, &node.address(), true).await;
        }
    }
}
