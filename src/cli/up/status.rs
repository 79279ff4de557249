//! What a cluster is doing, as lines of a terminal.

use std::time::Duration;

use synod_aggregator::{
    discovery::NodeState,
    runs::RunSummary,
    window::{ModelView, NodeView},
};

use super::{rates::Rates, view::Addresses};
use crate::output::{Output, without_controls};
use crate::terminal::head;
use crate::warnings::Warning;

/// Runs that are named before the rest is counted.
const NAMED_RUNS: usize = 3;
/// Lines beside those of nodes: two on top, those of runs and warnings, and one to spare.
const OTHER_LINES: usize = 9;
/// Below this, a model's name is cut so that its numbers are seen.
const NARROW: usize = 60;

/// All that is shown.
pub(super) struct Seen<'a> {
    pub(super) addresses: &'a Addresses,
    pub(super) up: Duration,
    pub(super) nodes: &'a [NodeView],
    pub(super) runs: &'a [RunSummary],
    pub(super) rates: &'a Rates,
    pub(super) warnings: &'a [Warning],
}

/// As many lines as fit so many rows, each at most so many columns wide.
pub(super) fn lines(seen: &Seen<'_>, rows: usize, columns: usize, output: &Output) -> Vec<String> {
    // The last column stays free: some terminals wrap at it.
    let columns = columns.saturating_sub(1);
    let http = seen.addresses.http.as_ref().map_or_else(String::new, |url| format!(" · HTTP {url}"));
    let mut lines = vec![
        format!("{} · {} · {:.0} tok/s", uptime(seen.up), count(seen.runs.len(), "run"), seen.rates.sum()),
        format!("gRPC {}{http}", seen.addresses.grpc),
    ];
    let room = rows.saturating_sub(OTHER_LINES).max(1);
    let nodes: Vec<String> = seen.nodes.iter().flat_map(|node| of_node(node, seen.rates, columns, output)).collect();
    lines.extend(nodes.iter().take(room).cloned());
    if nodes.len() > room {
        lines.push(format!("  … and {} more", nodes.len() - room));
    }
    for run in seen.runs.iter().take(NAMED_RUNS) {
        lines.push(format!("run {} · {} · {:.1} s", run.run_id, run.topology, run.total.as_secs_f64()));
    }
    if seen.runs.len() > NAMED_RUNS {
        lines.push(format!("  … and {} more", seen.runs.len() - NAMED_RUNS));
    }
    for warning in seen.warnings {
        let ago = uptime(warning.at.elapsed());
        lines.push(output.dim(&format!("{ago} ago: {}", without_controls(&warning.text).replace('\n', " "))));
    }
    lines.iter().map(|line| head(line, columns)).collect()
}

/// A line for each of its models, or one that says why it is not used.
fn of_node(node: &NodeView, rates: &Rates, columns: usize, output: &Output) -> Vec<String> {
    let address = short(&node.address);
    let out = |what: &str| vec![format!("{} {address} {what}", output.bad("○"))];
    match node.state {
        NodeState::Draining => out("is draining"),
        NodeState::Unreachable => out(&format!("is unreachable: {}", without_controls(&node.error))),
        NodeState::Ready if node.models.is_empty() => out("hosts nothing"),
        NodeState::Ready => {
            let rate = |model: &ModelView| rates.of(&node.address, &model.name);
            node.models.iter().map(|model| of_model(model, rate(model), address, columns, output)).collect()
        }
    }
}

fn of_model(model: &ModelView, tok_s: f64, address: &str, columns: usize, output: &Output) -> String {
    let (mark, ejected) = match model.ejected {
        true => (output.bad("○"), " ejected"),
        false => (output.good("●"), ""),
    };
    let width = if columns < NARROW { 16 } else { 28 };
    let (name, standing) = (head(&model.name, width), model.standing);
    let load = match (standing.busy, standing.slots) {
        (0, _) => "idle".to_owned(),
        (busy, 0) => format!("{busy} busy"),
        (busy, slots) => format!("{busy}/{slots} busy"),
    };
    let speed = if tok_s >= 0.5 { format!("{tok_s:.0} tok/s") } else { String::new() };
    format!("{mark} {name:<width$} {load:<9} {speed:>9} {address}{ejected}")
}

/// An address without its scheme.
fn short(address: &str) -> &str {
    address.split_once("://").map_or(address, |(_, rest)| rest)
}

fn uptime(span: Duration) -> String {
    humantime::format_duration(Duration::from_secs(span.as_secs())).to_string()
}

fn count(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests {
    use synod_aggregator::members::Standing;

    use super::*;

    fn node(port: u16, state: NodeState, models: Vec<ModelView>) -> NodeView {
        NodeView { address: format!("http://127.0.0.1:{port}"), state, error: "no route".to_owned(), models }
    }

    fn model(name: &str, busy: usize, ejected: bool) -> ModelView {
        ModelView { name: name.to_owned(), ejected, standing: Standing { busy, slots: 8, written: 0 } }
    }

    #[track_caller]
    fn check(rows: usize, columns: usize, expected: &[&str]) {
        let nodes = [
            node(7610, NodeState::Ready, vec![model("qwen2.5-coder-0.5b-instruct", 2, false), model("tiny", 0, true)]),
            node(7611, NodeState::Draining, vec![model("tiny", 0, false)]),
            node(7612, NodeState::Unreachable, Vec::new()),
        ];
        let addresses =
            Addresses { grpc: ([127, 0, 0, 1], 7600).into(), http: Some("http://127.0.0.1:7680/v1".to_owned()) };
        let seen = Seen {
            addresses: &addresses,
            up: Duration::from_secs(62),
            nodes: &nodes,
            runs: &[],
            rates: &Rates::default(),
            warnings: &[],
        };
        assert_eq!(lines(&seen, rows, columns, &Output::new(false)), expected);
    }

    #[test]
    fn every_model_of_every_node_has_a_line() {
        check(
            24,
            80,
            &[
                "1m 2s · 0 runs · 0 tok/s",
                "gRPC 127.0.0.1:7600 · HTTP http://127.0.0.1:7680/v1",
                "● qwen2.5-coder-0.5b-instruct  2/8 busy            127.0.0.1:7610",
                "○ tiny                         idle                127.0.0.1:7610 ejected",
                "○ 127.0.0.1:7611 is draining",
                "○ 127.0.0.1:7612 is unreachable: no route",
            ],
        );
    }

    #[test]
    fn a_small_terminal_is_not_overrun() {
        check(
            10,
            40,
            &[
                "1m 2s · 0 runs · 0 tok/s",
                "gRPC 127.0.0.1:7600 · HTTP http://127.…",
                "● qwen2.5-coder-0… 2/8 busy           …",
                "  … and 3 more",
            ],
        );
    }
}
