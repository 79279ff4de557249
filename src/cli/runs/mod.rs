//! `synod runs …`: what is recorded.

mod compare;
mod diff;
mod export;
mod list;
mod replay;
mod show;
mod source;
mod story;

use clap::{Args, Subcommand};

use super::Context;
use crate::exit::Failure;

const EXAMPLES: &str = "\
RUN is an id from `synod runs list`, a beginning of one that no other has, or `last`.

Examples:
  synod runs list --limit 5
  synod runs show last                  the run as a story: stages, seats, calls, what was cut and why
  synod runs show last --prompts        with the text and tokens that each model was given
  synod runs diff 0199a 0199b           what differs between two runs
  synod runs replay last                ask again with the same seeds, and say whether the same comes of it
  synod runs export --since 7d > runs.jsonl

With a running aggregator (--endpoint, SYNOD_ENDPOINT, or one on 127.0.0.1:7600) its runs are meant; otherwise those in \
the file of [records] path. docs/records.md says what is recorded, and how to record less.";

/// Recorded runs
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Runs {
    /// List runs, the newest first
    List(list::List),
    /// Show one run
    Show(show::Show),
    /// Show what differs between two runs
    Diff(diff::Diff),
    /// Ask again with the same seeds, and say whether the same comes of it; exit code 1 where not
    Replay(replay::Replay),
    /// Print runs as JSON, one a line
    Export(export::Export),
}

/// Whose runs.
#[derive(Debug, Args)]
struct Whose {
    /// A running aggregator
    #[arg(long, value_name = "URL", env = "SYNOD_ENDPOINT")]
    endpoint: Option<String>,
}

pub(super) async fn run(runs: Runs, context: Context) -> Result<(), Failure> {
    match runs {
        Runs::List(list) => list::run(list, context).await,
        Runs::Show(show) => show::run(show, context).await,
        Runs::Diff(diff) => diff::run(diff, context).await,
        Runs::Replay(replay) => replay::run(replay, context).await,
        Runs::Export(export) => export::run(export, context).await,
    }
}
