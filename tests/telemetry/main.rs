//! What processes tell of themselves: spans, metrics, health, and nothing that anybody wrote.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod cluster;
mod collector;
mod scrape;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cluster::{Cluster, EMBEDDER, PATIENCE, get, send, until};
use collector::{Collector, children, root};
use serde_json::Value;
use support::MODEL;

const QUESTION: &str = "Why do leaves change colour in autumn?";

/// Enough for the three layers of `moa-3`: a run, three stages, seven seats, and for each a call and what its node did.
const FEWEST_SPANS: usize = 1 + 3 + 7 * 3;

/// A word that nobody says by chance.
const MARKER: &str = "xyzzy-4711-plugh";

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_one_tree_through_the_aggregator_and_its_nodes() {
    let collector = Collector::start().await;
    let cluster = Cluster::start(2, Some(&collector.url));
    let run = cluster.ask("tree", QUESTION, None).await;
    assert!(!run.degraded, "{:?}", run.warnings);
    let trace = collector.trace_of("tree").await;
    assert!(trace.len() >= FEWEST_SPANS, "{} spans", trace.len());
    let run = root(&trace);
    assert!(run.span.parent_span_id.is_empty() && run.span.name == "invoke_workflow moa-3", "{run:?}");
    assert!(run.number("gen_ai.usage.output_tokens") > 7, "{run:?}");
    let stages = children(&trace, run);
    let kinds: BTreeSet<String> = stages.iter().map(|stage| stage.text("synod.stage.kind")).collect();
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), ["propose", "synthesize"]);
    let seats: Vec<_> = stages.iter().flat_map(|stage| children(&trace, stage)).collect();
    assert!(seats.iter().all(|seat| seat.begins("invoke_agent")), "{seats:#?}");
    let places = seats.iter().map(|seat| (seat.number("synod.stage.index"), seat.number("synod.seat.index")));
    assert_eq!(places.collect::<BTreeSet<_>>().len(), 7, "three, three and one: {seats:#?}");
    let mut nodes = BTreeSet::new();
    for seat in seats {
        let calls = children(&trace, seat);
        assert!(!calls.is_empty() && calls.iter().all(|call| call.service == "synod-aggregator"), "{calls:#?}");
        for call in calls {
            let served = children(&trace, call);
            // A call that lost its race may never have come to its node.
            if call.number("gen_ai.usage.output_tokens") > 0 {
                assert_eq!(served.len(), 1, "{call:#?}");
                nodes.insert(call.text("synod.node"));
            }
            for one in served {
                assert_eq!((one.service.as_str(), one.text("gen_ai.request.model").as_str()), ("synod-node", MODEL));
            }
        }
    }
    assert_eq!(nodes.len(), 2, "both nodes had a part in it");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trace_of_whoever_asks_goes_on() {
    let collector = Collector::start().await;
    let cluster = Cluster::start(1, Some(&collector.url));
    let parent = |trace: &str| format!("00-{trace}-00f067aa0ba902b7-01");
    let (grpc, http) = ("4bf92f3577b34da6a3ce929d0e0e4736", "5bf92f3577b34da6a3ce929d0e0e4737");
    cluster.ask("grpc", QUESTION, Some(&parent(grpc))).await;
    let body =
        format!(r#"{{"model":"{MODEL}","max_tokens":8,"messages":[{{"role":"user","content":"Name a colour."}}]}}"#);
    let head = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ntraceparent: {}\r\n", parent(http));
    let rest = format!("content-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    let (status, answer) = send(&cluster.http(), &format!("{head}{rest}{body}")).await;
    assert_eq!(status, 200, "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let run_id = answer["id"].as_str().unwrap().trim_start_matches("chatcmpl-");
    for (run_id, trace_id) in [("grpc", grpc), (run_id, http)] {
        let trace = collector.trace_of(run_id).await;
        let run = root(&trace);
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(
            (hex(&run.span.trace_id), hex(&run.span.parent_span_id)),
            (trace_id.into(), "00f067aa0ba902b7".into())
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn embeddings_are_a_part_of_the_trace_of_whoever_asks() {
    let collector = Collector::start().await;
    let cluster = Cluster::start(1, Some(&collector.url));
    until(&cluster.http(), "/readyz", 200).await;
    let body = format!(r#"{{"model":"{EMBEDDER}","input":"Leaves change colour in autumn."}}"#);
    let trace = "6bf92f3577b34da6a3ce929d0e0e4738";
    let head =
        format!("POST /v1/embeddings HTTP/1.1\r\nhost: localhost\r\ntraceparent: 00-{trace}-00f067aa0ba902b7-01\r\n");
    let rest = format!("content-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    let (status, answer) = send(&cluster.http(), &format!("{head}{rest}{body}")).await;
    assert_eq!(status, 200, "{answer}");
    let spans = collector.named("embeddings", 3).await;
    let asked = spans.iter().find(|one| one.span.parent_span_id == 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes()).unwrap();
    let [call] = children(&spans, asked)[..] else { panic!("{spans:#?}") };
    let [served] = children(&spans, call)[..] else { panic!("{spans:#?}") };
    let services = [asked, call, served].map(|one| one.service.as_str());
    assert_eq!(services, ["synod-aggregator", "synod-aggregator", "synod-node"]);
    assert!(call.number("gen_ai.usage.input_tokens") > 5 && !call.text("synod.node").is_empty(), "{call:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_and_models_write_is_in_no_span_log_or_metric() {
    let collector = Collector::start().await;
    let cluster = Cluster::start(1, Some(&collector.url));
    let run = cluster.ask("marked", &format!("Repeat this word: {MARKER}. What is {MARKER}?"), None).await;
    assert!(run.answer.trim().len() > 8, "{:?}", run.answer);
    let spans = format!("{:?}", collector.trace_of("marked").await);
    let (_, metrics) = get(&cluster.http(), "/metrics").await;
    let (_, of_node) = get(&cluster.node_http(0), "/metrics").await;
    let logs = cluster.logs();
    assert!(logs.contains("sequence opened"), "the logs of everything are looked at");
    for text in [MARKER, run.answer.trim()] {
        for (told, place) in
            [(&spans, "a span"), (&logs, "a log"), (&metrics, "a metric"), (&of_node, "a node's metric")]
        {
            let found = told.lines().find(|line| line.contains(text));
            assert!(found.is_none(), "{text:?} is in {place}: {found:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_show_texts_where_somebody_wants_that() {
    let collector = Collector::start().await;
    let shown = [("SYNOD__TELEMETRY__TEXTS", "true")];
    let cluster = Cluster::start_with(1, Some(&collector.url), &shown);
    let run = cluster.ask("shown", &format!("Repeat this word: {MARKER}."), None).await;
    let spans = format!("{:?}", collector.trace_of("shown").await);
    let first_word = run.answer.split(|c: char| !c.is_alphanumeric()).find(|word| !word.is_empty()).unwrap();
    for text in [MARKER, first_word, "gen_ai.input.messages", "gen_ai.output.messages"] {
        assert!(spans.contains(text), "{text:?} is in no span");
    }
    assert!(!cluster.logs().contains(MARKER));
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_what_happened() {
    let cluster = Cluster::start(1, None);
    cluster.ask("counted", QUESTION, None).await;
    let metrics = scrape::at_rest(&cluster.http(), "synod_runs_in_flight", &[]).await;
    assert_eq!(metrics.value("synod_runs_total", &[("topology", "moa-3"), ("outcome", "finished")]), Some(1.0));
    assert_eq!(metrics.value("synod_run_first_token_seconds_count", &[("topology", "moa-3")]), Some(1.0));
    assert_eq!(metrics.value("synod_nodes", &[("state", "ready")]), Some(1.0));
    assert_eq!(metrics.value("synod_member_output_token_seconds_count", &[("model", MODEL)]), Some(7.0));
    let written = metrics.value("synod_member_tokens_total", &[("model", MODEL), ("kind", "output")]).unwrap();
    let node = scrape::at_rest(&cluster.node_http(0), "synod_node_requests_running", &[("model", MODEL)]).await;
    assert_eq!(node.value("synod_node_generated_tokens_total", &[("model", MODEL)]), Some(written));
    assert_eq!(node.value("synod_node_requests_waiting", &[("model", MODEL)]), Some(0.0));
    let cache = node.value("synod_node_kv_cache_usage_ratio", &[("model", MODEL)]).unwrap();
    assert!((0.0..=1.0).contains(&cache), "{cache}");
    let tokens = |name: &str| node.value(name, &[("model", MODEL)]).unwrap();
    assert!(tokens("synod_node_prefilled_tokens_total") > 0.0 && tokens("synod_node_reused_tokens_total") > 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_goes_with_the_last_node_and_health_does_not() {
    let mut cluster = Cluster::start(1, None);
    let (http, node) = (cluster.http(), cluster.node_http(0));
    until(&http, "/readyz", 200).await;
    assert_eq!(get(&node, "/readyz").await.0, 200);
    assert_eq!((get(&http, "/healthz").await.0, get(&node, "/healthz").await.0), (200, 200));
    cluster.nodes[0].kill();
    let said: Value = serde_json::from_str(&until(&http, "/readyz", 503).await).unwrap();
    let reason = said["reason"].as_str().unwrap();
    assert!(said["ready"] == false && reason.contains("no ready node hosts a member of moa"), "{said}");
    assert_eq!(get(&http, "/healthz").await.0, 200);
    let metrics = scrape::metrics(&http).await;
    assert_eq!(metrics.value("synod_nodes", &[("state", "unreachable")]), Some(1.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_drains_is_not_ready() {
    let cluster = Cluster::start(1, None);
    let asking = cluster.ask_for(400, "drained", QUESTION, None);
    let stopping = async {
        let node = cluster.node_http(0);
        while scrape::metrics(&node).await.value("synod_node_requests_running", &[("model", MODEL)]) == Some(0.0) {}
        let pid = rustix::process::Pid::from_raw(cluster.nodes[0].pid().cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        until(&node, "/readyz", 503).await
    };
    tokio::select! {
        _ = asking => panic!("the run was over before its node drained"),
        said = stopping => assert!(said.contains(r#""reason":"draining""#), "{said}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_costs_a_run_nothing_and_is_said_once() {
    // Connections are accepted by the system, and nobody ever speaks.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    for away in ["http://127.0.0.1:1".to_owned(), format!("http://{}", silent.local_addr().unwrap())] {
        let mut cluster = Cluster::start(1, Some(&away));
        for run in ["one", "two"] {
            let run = cluster.ask(run, QUESTION, None).await;
            assert!(!run.degraded, "{:?}", run.warnings);
        }
        let began = Instant::now();
        let said = |logs: &str| logs.matches("spans do not reach their collector").count();
        while said(&cluster.logs()) < 2 {
            assert!(began.elapsed() < PATIENCE, "{away}: nobody says so");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        cluster.ask("three", QUESTION, None).await;
        let began = Instant::now();
        assert!(cluster.aggregator.terminate().success() && cluster.nodes[0].terminate().success());
        assert!(began.elapsed() < Duration::from_secs(10), "{away}: ending took {:?}", began.elapsed());
        assert_eq!(said(&cluster.logs()), 2, "{away}: once a process");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs promtool (Debian's prometheus): .ci/run runs it"]
async fn promtool_finds_nothing_wrong() {
    let cluster = Cluster::start(1, None);
    cluster.ask("checked", QUESTION, None).await;
    for address in [cluster.http(), cluster.node_http(0)] {
        let (_, text) = get(&address, "/metrics").await;
        let mut promtool = Command::new("promtool");
        let mut child =
            promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{said}\n{text}");
    }
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/prometheus-alerts.yml");
    let output = Command::new("promtool").args(["check", "rules", rules]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
