//! The promise, on real processes and a real model: a member that dies costs at most its seat.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use futures::StreamExt;
use support::{MODEL, Process};
use synod_aggregator::{
    Client, Error, Question,
    events::{Event, RunFinished},
};
use tempfile::TempDir;

/// A topology of three seats and a synthesis, all on the small model.
fn config(directory: &TempDir) -> PathBuf {
    let path = directory.path().join("synod.toml");
    let text = format!(
        r#"
default_topology = "three"

[topologies.three]
description = "three seats"
deadline = "60s"

[[topologies.three.stages]]
kind = "propose"
quorum = 2
grace = "20s"
members = [{{ model = "{MODEL}", samples = 3, max_tokens = 96 }}]

[[topologies.three.stages]]
kind = "synthesize"
member = {{ model = "{MODEL}", max_tokens = 48, temperature = 0.2 }}
"#
    );
    fs::write(&path, text).unwrap();
    path
}

/// Three nodes and an aggregator over them, a client, and the ids that the nodes go by.
struct Cluster {
    nodes: Vec<Process>,
    ids: Vec<String>,
    aggregator: Process,
    client: Client,
    _directory: TempDir,
}

impl Cluster {
    async fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let nodes: Vec<_> = (0..3).map(|_| Process::node()).collect();
        let mut ids = Vec::new();
        for node in &nodes {
            ids.push(node.node_id().await);
        }
        let aggregator = Process::aggregator(&config(&directory), &nodes.iter().collect::<Vec<_>>());
        let client = Client::connect(&aggregator.address).await.unwrap();
        Self { nodes, ids, aggregator, client, _directory: directory }
    }

    fn kill(&mut self, id: &str) {
        let at = self.ids.iter().position(|one| one == id).expect("the event names a node of ours");
        self.nodes[at].kill();
    }

    /// Asks, and lets `meddle` do to the cluster what it likes at each event.
    async fn ask(&mut self, mut meddle: impl FnMut(&mut Self, &Event)) -> (Vec<Event>, Option<Error>) {
        let mut stream = self.client.ask(Question::new("Why do leaves change colour in autumn?")).await.unwrap();
        let mut events = Vec::new();
        while let Some(event) = stream.next().await {
            match event {
                Ok(event) => {
                    meddle(self, &event);
                    events.push(event);
                }
                Err(error) => return (events, Some(error)),
            }
        }
        (events, None)
    }
}

fn finished(events: &[Event]) -> &RunFinished {
    match events.last() {
        Some(Event::RunFinished(finished)) => finished,
        other => panic!("the run ended with {other:?}"),
    }
}

#[tokio::test]
async fn a_node_killed_in_the_middle_of_its_draft_costs_only_its_seat() {
    let mut cluster = Cluster::start().await;
    let mut at = std::collections::BTreeMap::new();
    let mut killed = None;
    let (events, error) = cluster
        .ask(|cluster, event| match event {
            Event::MemberStarted(started) => {
                at.insert(started.at, started.node.clone());
            }
            Event::MemberDelta { at: seat, .. } if killed.is_none() => {
                killed = Some(*seat);
                cluster.kill(&at[seat]);
            }
            _ => {}
        })
        .await;
    assert!(error.is_none(), "{error:?}");
    let finished = finished(&events);
    assert!(finished.degraded && !finished.answer.trim().is_empty(), "{finished:?}");
    let failed = events.iter().find_map(|event| match event {
        Event::MemberFailed(failed) if Some(failed.at) == killed => Some(failed),
        _ => None,
    });
    let failed = failed.expect("the seat says that it is lost");
    assert!(!failed.error.is_empty() && !failed.node.is_empty(), "{failed:?}");
}

#[tokio::test]
async fn a_synthesiser_killed_before_its_first_token_answers_from_another_node() {
    let mut cluster = Cluster::start().await;
    let mut synthesisers = Vec::new();
    let (events, error) = cluster
        .ask(|cluster, event| {
            if let Event::MemberStarted(started) = event
                && started.at.stage == 1
            {
                if synthesisers.is_empty() {
                    cluster.kill(&started.node);
                }
                synthesisers.push(started.node.clone());
            }
        })
        .await;
    assert!(error.is_none(), "{error:?}");
    assert!(!finished(&events).answer.trim().is_empty());
    assert!(synthesisers.len() > 1 && synthesisers[0] != synthesisers[1], "{synthesisers:?}");
}

#[tokio::test]
async fn with_every_node_killed_the_run_ends_in_time_with_a_clear_error() {
    let mut cluster = Cluster::start().await;
    let begin = Instant::now();
    let mut armed = true;
    let (events, error) = cluster
        .ask(|cluster, event| {
            if armed && matches!(event, Event::MemberDelta { .. }) {
                armed = false;
                cluster.nodes.iter_mut().for_each(Process::kill);
            }
        })
        .await;
    // Either the run says so at its end, or a draft that was complete stands in, which can't be here: none was.
    assert!(matches!(events.last(), Some(Event::RunFailed(_))), "{:?}", events.last());
    assert!(error.is_some_and(|error| !error.message.is_empty()));
    assert!(begin.elapsed() < Duration::from_secs(60), "the deadline holds");
}

#[tokio::test]
async fn many_questions_leave_no_descriptors_behind() {
    let mut cluster = Cluster::start().await;
    let open = |pid: u32| fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let mut counts = Vec::new();
    for _ in 0..6 {
        let mut question = Question::new("Name a colour.");
        question.sampling.max_tokens = synod_aggregator::topology::MaxTokens::try_new(4).ok();
        let mut stream = cluster.client.ask(question).await.unwrap();
        while let Some(event) = stream.next().await {
            event.unwrap();
        }
        counts.push(open(cluster.aggregator.pid()) + open(cluster.nodes[0].pid()));
    }
    assert!(counts[5] <= counts[2], "{counts:?}");
}

#[test]
fn a_file_with_five_mistakes_is_told_all_five_with_their_lines() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("five.toml");
    let text = r#"default_topology = "missing"

[topologies.bad]
deadlin = "10s"

[[topologies.bad.stages]]
kind = "propose"
quorum = 5
members = [{ model = "no-such-model", temperature = 9.0 }]

[[topologies.bad.stages]]
kind = "synthesize"
member = { model = "smollm2-135m-instruct" }
"#;
    fs::write(&path, text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_synod")).args(["topology", "check"]).arg(&path).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64), "{said}");
    for (line, what) in [(1, "missing"), (4, "deadlin"), (8, "quorum"), (9, "no-such-model"), (9, "temperature")] {
        let there = said.lines().any(|one| one.contains(&format!("five.toml:{line}:")) && one.contains(what));
        assert!(there, "line {line}, {what}:\n{said}");
    }
}

#[test]
fn ask_alone_starts_what_it_needs_and_prints_one_document() {
    let directory = TempDir::new().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_synod"))
        .env(support::RECORDS, "false")
        .args(["ask", "--json", "--max-tokens", "24", "--seed", "7", "--config"])
        .arg(config(&directory))
        .arg("Name three colours.")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let run: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(!run["answer"].as_str().unwrap().is_empty(), "{run}");
    assert_eq!(run["stages"][0]["members"].as_array().unwrap().len(), 3);
    assert_eq!(run["stages"][1]["kind"], "synthesize");
    assert_eq!(run["degraded"], false);
    assert!(run["usage"]["prompt_tokens"].as_u64().unwrap() > 0 && run["timings"]["total_ms"].as_u64().unwrap() > 0);
}
