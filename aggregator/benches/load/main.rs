//! What the aggregator itself costs: scripted nodes, aggregators and their callers, a process each, over loopback.
//!
//! `cargo bench -p synod-aggregator --bench load` prints one JSON document. Eight nodes; three proposers and a synthesis
//! a run, 20 deltas each, on a timetable of the nodes: what a run takes beyond two timetables is overhead. Runs differ in
//! pace and come one after the other, as they do where people ask.
// clippy.toml allows these in tests, but does not see that a bench is one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod nodes;
mod parts;
mod runs;

use std::time::Duration;

use nodes::DELTAS;
use parts::Part;
use runs::{ARRIVAL, Callers, Outcome};
use serde_json::{Value, json};

/// Runs in flight that the aggregator allows.
const LIMIT: usize = 1000;
/// Callers beyond the limit.
const BEYOND: usize = 500;
const RATE: u32 = 200;
const RATE_SPAN: Duration = Duration::from_secs(15);
/// Between deltas, where runs are short.
const FAST: Duration = Duration::from_millis(5);
/// The same where many are to be in flight together.
const SLOW: Duration = Duration::from_millis(200);

/// Clients who read answers at the same time, one after the other.
const STREAMING: usize = 100;
/// Answers that each of them reads.
const EACH: usize = 5;
/// Between deltas, for them.
const STREAMED: Duration = Duration::from_millis(20);

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.split_first() {
        Some((role, _)) if role == "nodes" => nodes::serve_all().await,
        Some((role, nodes)) if role == "aggregator" => parts::aggregator(nodes, LIMIT, None).await,
        Some((role, nodes)) if role == "recording" => {
            let folder = tempfile::TempDir::new().unwrap();
            parts::aggregator(nodes, LIMIT, Some(folder.path().join("records.sqlite"))).await;
        }
        Some((role, addresses)) if role == "refused" => {
            let callers = Callers::over_grpc(&addresses[0]).await;
            let over_a_second = callers.refusals(BEYOND, ARRIVAL).await;
            let at_once = callers.refusals(BEYOND, Duration::ZERO).await;
            println!("{}", json!([over_a_second, at_once]));
        }
        _ => println!("{:#}", measure().await),
    }
}

async fn measure() -> Value {
    let nodes = Part::start("nodes", &[]);
    let aggregator = Part::start("aggregator", &nodes.addresses);
    let recording = Part::start("recording", &nodes.addresses);
    let grpc = Callers::over_grpc(&aggregator.addresses[0]).await;
    json!({
        "grpc": overheads(&aggregator, &grpc).await,
        "http": overheads(&aggregator, &Callers::over_http(&aggregator.addresses[1])).await,
        "grpc_recorded": overheads(&recording, &Callers::over_grpc(&recording.addresses[0]).await).await,
        "full": full(&aggregator, &grpc).await,
    })
}

/// What an aggregator adds to runs that come now and then, often, and while many read along.
async fn overheads(aggregator: &Part, callers: &Callers) -> Value {
    // The first calls open connections.
    callers.at_rate(50, Duration::from_secs(2), FAST).await;
    let few = callers.at_rate(5, Duration::from_secs(10), FAST).await;
    let cpu = aggregator.cpu();
    let at_rate = callers.at_rate(RATE, RATE_SPAN, FAST).await;
    let cpu = aggregator.cpu() - cpu;
    let streaming = callers.in_turn(STREAMING, EACH, STREAMED).await;
    json!({
        "few": { "runs_per_s": 5, "overhead_ms": overhead(&few) },
        "at_rate": {
            "runs_per_s": RATE,
            "runs": at_rate.len(),
            "ended_once": ended_once(&at_rate),
            "overhead_ms": overhead(&at_rate),
            "cpu_ms_per_run": cpu.as_secs_f64() * 1e3 / at_rate.len() as f64,
        },
        "streaming": {
            "clients": STREAMING,
            "runs": streaming.len(),
            "ended_once": ended_once(&streaming),
            "overhead_ms": overhead(&streaming),
        },
    })
}

/// As many runs at once as the aggregator allows, and then more.
async fn full(aggregator: &Part, callers: &Callers) -> Value {
    let quiet = aggregator.resident_kib();
    // In the middle of the second stage.
    let later = (SLOW * DELTAS * 3 / 2).saturating_sub(ARRIVAL / 2);
    let (together, in_flight) = callers.together(LIMIT, SLOW, later, || aggregator.resident_kib()).await;
    // In the first stage, which is the busier one; by a process of their own, which has no other calls to wait for.
    let refused = || parts::output("refused", &[&aggregator.addresses[0]]);
    let (accepted, refused) = callers.together(LIMIT, SLOW, Duration::ZERO, refused).await;
    let [refusals, burst]: [Vec<f64>; 2] = serde_json::from_slice(&refused).unwrap();
    let totals = |outcomes: &[Outcome]| quantiles(outcomes.iter().map(|outcome| ms(outcome.total)).collect());
    json!({
        "together": {
            "runs": together.len(),
            "ended_once": ended_once(&together),
            "overhead_ms": overhead(&together),
            "quiet_kib": quiet,
            "in_flight_kib": in_flight,
            "kib_per_run": in_flight.saturating_sub(quiet) as f64 / LIMIT as f64,
        },
        "beyond_the_limit": {
            "refused": refusals.len(),
            "asked": BEYOND,
            "refusal_ms": quantiles(refusals),
            "refusal_in_a_burst_ms": quantiles(burst),
            "accepted_ended_once": ended_once(&accepted),
            "accepted_total_ms": totals(&accepted),
            "total_ms_without_storm": totals(&together),
        },
    })
}

fn overhead(outcomes: &[Outcome]) -> Value {
    quantiles(outcomes.iter().map(|outcome| ms(outcome.overhead())).collect())
}

fn ended_once(outcomes: &[Outcome]) -> usize {
    outcomes.iter().filter(|outcome| outcome.finished == 1 && outcome.failed == 0).count()
}

fn ms(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

fn quantiles(mut ms: Vec<f64>) -> Value {
    ms.sort_by(f64::total_cmp);
    let at =
        |share: f64| ms.get((ms.len() as f64 * share) as usize).or(ms.last()).map(|ms| (ms * 100.0).round() / 100.0);
    json!({ "p50": at(0.5), "p99": at(0.99), "max": at(1.0) })
}
