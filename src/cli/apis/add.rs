//! `synod apis add SOURCE`

use std::{path::Path, sync::Arc};

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use synod_agent_node::apis::{
    Library,
    sources::{Source, SourceKind},
};

use crate::cli::Context;
use crate::exit::Failure;

const EXAMPLES: &str = "\
Sources: Gorilla API records and function lists (JSON, JSON lines), OpenAPI 3.0 and 3.1 (JSON, YAML; a file or a URL), Python \
files, gRPC servers with reflection (grpc://HOST:PORT), MCP servers (a URL or a command line, with --kind mcp).

Examples:
  synod apis add torchhub_api.jsonl --name torchhub
  synod apis add https://api.example.org/openapi.yaml --name example
  synod apis add grpc://127.0.0.1:7600 --name synod
  synod apis add 'python -m mcp_server_time' --kind mcp --name time";

/// Read the APIs of a document or a server into a catalogue
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Add {
    /// A file, a URL, or the command line of an MCP server
    source: String,
    /// What to call the catalogue; made of the source's name without
    #[arg(long)]
    name: Option<String>,
    /// What the source is, if its content does not tell
    #[arg(long, value_parser = kind_parser())]
    kind: Option<SourceKind>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

fn kind_parser() -> impl TypedValueParser<Value = SourceKind> {
    PossibleValuesParser::new(SourceKind::ALL.map(SourceKind::name))
        .try_map(|name| SourceKind::from_name(&name).ok_or("no such kind"))
}

pub(super) async fn run(add: Add, library: &Arc<Library>, context: &Context) -> Result<(), Failure> {
    let name = add.name.unwrap_or_else(|| name_of(&add.source));
    let location = absolute(add.source);
    let progress = super::progress(context.output);
    let change = library.add(&name, Source { location, kind: add.kind }, progress).await?;
    let text = super::told(&change, context.output);
    if add.json { context.output.json(&change) } else { context.output.text(&text) }
}

/// A file is found again from any folder.
fn absolute(source: String) -> String {
    match std::path::absolute(&source) {
        Ok(path) if path.exists() => path.to_str().map_or(source, str::to_owned),
        _ => source,
    }
}

/// `https://api.example.org/v1/pets.yaml` → `pets`
fn name_of(source: &str) -> String {
    let last = source.trim_end_matches('/').rsplit('/').next().unwrap_or(source);
    let stem = Path::new(last).file_stem().and_then(|stem| stem.to_str()).unwrap_or(last);
    let name: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).collect();
    name.trim_matches('-').chars().take(64).collect()
}
