//! `synod apis list`

use clap::Args;
use serde::Serialize;
use synod_agent_node::apis::{Entry, Library};

use crate::cli::Context;
use crate::exit::Failure;

const EXAMPLES: &str = "\
Examples:
  synod apis list
  synod apis list --json | jq -r '.catalogues[].name'";

/// List the catalogues
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct List {
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) fn run(list: &List, library: &Library, context: &Context) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Listing {
        catalogues: Vec<Entry>,
    }
    let catalogues = library.entries()?;
    if list.json {
        return context.output.json(&Listing { catalogues });
    }
    if catalogues.is_empty() {
        context.output.note("no catalogue yet: `synod apis add SOURCE` adds one");
        return Ok(());
    }
    let width = catalogues.iter().map(|entry| entry.name.len()).max().unwrap_or(0).max(4);
    let mut text = context.output.heading(&format!("{:width$}  {:12}  SOURCE", "NAME", "VERSION"));
    for Entry { name, source, version } in &catalogues {
        let short = &version[..version.len().min(12)];
        text.push_str(&format!("\n{name:width$}  {short:12}  {}", source.location));
    }
    context.output.text(&text)
}
