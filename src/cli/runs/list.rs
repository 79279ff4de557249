//! `synod runs list`

use std::time::{Duration, UNIX_EPOCH};

use clap::Args;
use synod_aggregator::records::{Filter, Line};

use super::{Whose, source::Source};
use crate::cli::Context;
use crate::exit::Failure;

/// List runs, the newest first
#[derive(Debug, Args)]
pub(crate) struct List {
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u32,
    /// Only runs through this topology
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    topology: String,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    whose: Whose,
}

pub(super) async fn run(list: List, context: Context) -> Result<(), Failure> {
    let mut source = Source::open(&list.whose, &context).await?;
    let filter = Filter { limit: list.limit as usize, topology: list.topology, since_ms: 0 };
    let lines = source.list(filter).await?;
    if list.json {
        return context.output.json(&lines);
    }
    lines.iter().try_for_each(|line| context.output.text(&row(line)))
}

fn row(line: &Line) -> String {
    let Line { run_id, topology, state, error, .. } = line;
    let note = if line.degraded { "degraded" } else { error.lines().next().unwrap_or_default() };
    let row =
        format!("{run_id}  {}  {topology:<16} {state:<10} {:>8}  {note}", when(line.began_ms), span(line.total_ms));
    row.trim_end().to_owned()
}

/// The last second of the year 9999, beyond which a year has five digits.
const LATEST_MS: u64 = 253_402_300_799_000;

/// A time in UTC, to the second.
pub(super) fn when(ms: u64) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(ms.min(LATEST_MS))).to_string()
}

/// A span as people read it.
pub(super) fn span(ms: u64) -> String {
    if ms < 1000 { format!("{ms} ms") } else { format!("{:.1} s", ms as f64 / 1e3) }
}
