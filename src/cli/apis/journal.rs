//! `synod apis journal`

use std::time::{Duration, UNIX_EPOCH};

use clap::Args;
use serde::Serialize;
use synod_agent_node::apis::execute::{Entry, Executor, State, printable};

use crate::cli::Context;
use crate::exit::{ExitCode, Failure, with_causes};

const EXAMPLES: &str = "\
States: done, failed (the server said no), not sent, unknown (sent, or perhaps; nobody saw what came of it: look at the server).

Examples:
  synod apis journal                  the last calls
  synod apis journal --json | jq -r '.calls[] | select(.undoable) | .id'
  synod apis undo 019a5f3e-…          take one back";

/// What was called, what came of it, and what can be undone
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Journal {
    /// How many calls, the last ones
    #[arg(short, long, value_name = "N", default_value_t = 20)]
    number: usize,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) fn run(journal: &Journal, executor: &Executor, context: &Context) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Told<'a> {
        #[serde(flatten)]
        entry: &'a Entry,
        undoable: bool,
    }
    let entries = executor.journal().entries();
    let entries = entries.map_err(|error| Failure::new(ExitCode::Failed, with_causes(&error)))?;
    let last = &entries[entries.len().saturating_sub(journal.number)..];
    if journal.json {
        let calls: Vec<_> = last.iter().map(|entry| Told { entry, undoable: entry.not_undoable().is_none() }).collect();
        return context.output.json(&serde_json::json!({"calls": calls}));
    }
    if last.is_empty() {
        context.output.note("nothing has been called yet");
        return Ok(());
    }
    let mut text = context.output.heading(&format!("{:36}  {:8}  {:8}  CALL", "ID", "AGO", "STATE"));
    for entry in last {
        text = format!("{text}\n{}", line(entry));
    }
    context.output.text(&text)
}

fn line(entry: &Entry) -> String {
    let state = match (entry.state, entry.not_undoable()) {
        (State::Done, None) => "undoable",
        (State::Done, _) if entry.undone_by.is_some() => "undone",
        (State::Done, _) => "done",
        (State::Failed, _) => "failed",
        (State::NotSent, _) => "not sent",
        (State::Unknown, _) => "unknown",
    };
    let at = UNIX_EPOCH.checked_add(Duration::from_millis(entry.at_ms));
    let ago = at.and_then(|at| at.elapsed().ok()).unwrap_or_default().as_secs();
    let ago = match ago {
        0..120 => format!("{ago} s"),
        120..7200 => format!("{} min", ago / 60),
        7200..172_800 => format!("{} h", ago / 3600),
        _ => format!("{} d", ago / 86400),
    };
    let arguments = serde_json::to_string(&entry.intent.arguments).unwrap_or_default();
    let undoes = entry.intent.undoes.as_ref().map(|id| format!("  undoes {id}")).unwrap_or_default();
    let error = entry.error.as_ref().or(entry.status.as_ref()).map(|said| format!("  {said}")).unwrap_or_default();
    // What models and servers wrote goes to a terminal.
    let call = printable(&format!("{} {arguments}{undoes}{error}", entry.intent.api)).replace('\n', "\\n");
    format!("{}  {ago:8}  {state:8}  {call}", entry.id)
}
