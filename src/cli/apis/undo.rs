//! `synod apis undo ID`

use clap::Args;
use synod_agent_node::apis::Api;
use synod_agent_node::apis::execute::{ExecuteError, Executor, printable};

use super::consent::Consenting;
use crate::cli::Context;
use crate::exit::{ExitCode, Failure, with_causes};

const EXAMPLES: &str = "\
What undoes a call is said by its API's document; it is called once, with arguments from the call and its answer, and is in \
the journal as any other call.

Examples:
  synod apis journal                                the ids
  synod apis undo 019a5f3e-9c41-7d20-8b7e-52d1c0ffee00
  synod apis undo 019a5f3e-… --consent 1f3a…        where there is nobody to ask";

/// Take back a call, once
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Undo {
    /// From `synod apis journal`
    id: String,
    #[command(flatten)]
    consenting: Consenting,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// `apis`: those of all catalogues.
pub(super) async fn run(undo: Undo, executor: &Executor, apis: Vec<Api>, context: &Context) -> Result<(), Failure> {
    let (api, call) = executor.inverse(&undo.id, apis).map_err(failure)?;
    let preview = executor.preview_undo((&api, &call)).map_err(failure)?;
    let consent = undo.consenting.ask(&preview, context).await?;
    let outcome = executor.undo(&undo.id, (&api, &call), consent).await.map_err(failure)?;
    if let Some(warning) = &outcome.warning {
        context.output.note(warning);
    }
    if undo.json {
        context.output.json(&outcome)?;
    } else {
        context.output.text(&printable(&outcome.result.to_string()))?;
    }
    if outcome.succeeded {
        return Ok(());
    }
    Err(Failure::new(ExitCode::Failed, format!("it is not undone: the server said {}", outcome.status)))
}

/// A call that was not carried out.
pub(crate) fn failure(error: ExecuteError) -> Failure {
    let code = match &error {
        ExecuteError::Credential(_) => ExitCode::Configuration,
        _ => ExitCode::Failed,
    };
    let hint = match &error {
        ExecuteError::Denied { class: "irreversible", .. } => Some("to be asked about it, add --allow-irreversible"),
        ExecuteError::Sending { .. } => Some("`synod apis journal` shows what was sent"),
        _ => None,
    };
    Failure { code, message: printable(&with_causes(&error)), hint: hint.map(ToOwned::to_owned) }
}
