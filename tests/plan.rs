//! `synod plan` against what a node that does it really takes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::fs;
use std::process::Command;

use futures::StreamExt;
use serde_json::Value;
use support::{MODEL, Process};
use synod_aggregator::{Client, Question, events::Event};
use tempfile::TempDir;

/// Tokens that may be written after a prompt of [`WORDS`].
const ANSWER: u64 = 32;
const WORDS: usize = 700;

#[tokio::test]
#[cfg_attr(not(target_os = "linux"), ignore = "a process's memory is read in /proc")]
async fn the_memory_that_was_planned_is_what_a_node_takes() {
    let directory = TempDir::new().unwrap();
    let config = directory.path().join("synod.toml");
    let text = format!(
        "default_topology = 'one'\n[topologies.one]\ndescription = 'one seat'\n[[topologies.one.stages]]\n\
         kind = 'synthesize'\nmember = {{ model = '{MODEL}', max_tokens = {ANSWER} }}\n"
    );
    fs::write(&config, text).unwrap();
    let node = Process::node();
    let aggregator = Process::aggregator(&config, &[&node]);
    let mut client = Client::connect(&aggregator.address).await.unwrap();
    let question: String = (0..WORDS).map(|nth| format!("{} ", ["one", "two", "three", "four"][nth % 4])).collect();
    let events: Vec<_> = client.ask(Question::new(&question)).await.unwrap().collect().await;
    let Some(Ok(Event::RunFinished(finished))) = events.last() else { panic!("{:?}", events.last()) };
    let usage = finished.usage;
    let tokens = u64::from(usage.prompt_tokens + usage.completion_tokens);
    assert!(tokens > WORDS as u64, "{usage:?}");

    let planned = planned(tokens);
    let taken = resident(node.pid());
    let ratio = planned as f64 / taken as f64;
    assert!((0.9..=1.1).contains(&ratio), "{planned} bytes were planned, {taken} are taken");
}

/// Bytes that `synod plan` says of one sequence of this length.
fn planned(tokens: u64) -> u64 {
    let mut command = Command::new(env!("CARGO_BIN_EXE_synod"));
    command.args(["plan", "--model", MODEL, "--sequences", "1", "--threads", "1", "--json", "--context"]);
    let output = command.arg(tokens.to_string()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
    for speed in ["prefill_tok_s", "decode_tok_s", "batched_decode_tok_s", "bandwidth_bytes_s", "multiply_adds_s"] {
        assert!(plan[speed].as_f64().is_some_and(|speed| speed.is_finite() && speed > 0.0), "{plan}");
    }
    plan["total_bytes"].as_u64().unwrap()
}

/// Bytes of memory that a process has.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1024
}
