//! `synod apis refresh [NAME]`

use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use synod_agent_node::apis::{Change, Library};

use crate::cli::Context;
use crate::exit::{ExitCode, Failure};

const EXAMPLES: &str = "\
Nodes that run follow at their next call, without a restart. A source that cannot be read leaves the last version in place.

Examples:
  synod apis refresh                  every catalogue
  synod apis refresh example --json   one, with what was added, changed and removed";

/// Read sources again; what changed is published to the nodes that run
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Refresh {
    /// A name from `synod apis list`; all of them without
    catalogue: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(refresh: Refresh, library: &Arc<Library>, context: &Context) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Refreshed {
        catalogues: Vec<Change>,
        failed: Vec<String>,
    }
    let names = match refresh.catalogue {
        Some(name) => vec![name],
        None => library.names()?,
    };
    let mut refreshed = Refreshed { catalogues: Vec::new(), failed: Vec::new() };
    let mut last_failure = None;
    for name in names {
        match library.refresh(&name, super::progress(context.output)).await.map_err(Failure::from) {
            Ok(change) => {
                let text = super::told(&change, context.output);
                if !refresh.json {
                    context.output.text(&text)?;
                }
                refreshed.catalogues.push(change);
            }
            Err(failure) => {
                context.output.note(&format!("{name}: {}", failure.message));
                refreshed.failed.push(name);
                last_failure = Some(failure);
            }
        }
    }
    if refresh.json {
        context.output.json(&refreshed)?;
    }
    match last_failure {
        None => Ok(()),
        Some(failure) if refreshed.catalogues.is_empty() && refreshed.failed.len() == 1 => Err(failure),
        Some(_) => Err(Failure::new(ExitCode::Failed, format!("not refreshed: {}", refreshed.failed.join(", ")))),
    }
}
