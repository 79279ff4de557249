//! `synod apis show NAME [API]`

use clap::Args;
use serde::Serialize;
use synod_agent_node::apis::{Api, Catalogue, Library};

use crate::cli::Context;
use crate::exit::{ExitCode, Failure};

/// Characters of a description in a list.
const LINE: usize = 100;

const EXAMPLES: &str = "\
Examples:
  synod apis show torchhub
  synod apis show torchhub slow_r50 --json | jq .parameters";

/// Show a catalogue, or one of its APIs
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Show {
    /// A name from `synod apis list`
    catalogue: String,
    /// The name of an API in it
    api: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) fn run(show: &Show, library: &Library, context: &Context) -> Result<(), Failure> {
    let indexed = library.get(&show.catalogue)?;
    let catalogue = indexed.catalogue();
    match &show.api {
        None => all(catalogue, show.json, context),
        Some(name) => {
            let api = catalogue.find(name).ok_or_else(|| {
                Failure::new(ExitCode::Usage, format!("`{}` has no API called `{name}`", show.catalogue))
                    .hint(format!("`synod apis show {}` lists them", show.catalogue))
            })?;
            if show.json { context.output.json(api.as_ref()) } else { context.output.text(&pretty(api)?) }
        }
    }
}

fn all(catalogue: &Catalogue, json: bool, context: &Context) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Shown<'a> {
        name: &'a str,
        version: &'a str,
        apis: Vec<&'a Api>,
    }
    if json {
        let apis = catalogue.apis().iter().map(AsRef::as_ref).collect();
        return context.output.json(&Shown { name: catalogue.name(), version: catalogue.version(), apis });
    }
    let line = |api: &Api| format!("{}  {}", api.name, first_line(&api.description));
    let lines: Vec<String> = catalogue.apis().iter().map(|api| line(api)).collect();
    context.output.text(&lines.join("\n"))
}

/// The beginning of a text, on one line.
pub(super) fn first_line(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() <= LINE { text } else { text.chars().take(LINE - 1).chain(['…']).collect() }
}

fn pretty(api: &Api) -> Result<String, Failure> {
    serde_json::to_string_pretty(api)
        .map_err(|error| Failure::new(ExitCode::Failed, format!("cannot write JSON: {error}")))
}
