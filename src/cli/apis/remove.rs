//! `synod apis remove NAME`

use clap::Args;
use synod_agent_node::apis::Library;

use crate::cli::Context;
use crate::exit::Failure;

/// Take a catalogue away
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  synod apis remove torchhub")]
pub(crate) struct Remove {
    /// A name from `synod apis list`
    catalogue: String,
}

pub(super) fn run(remove: &Remove, library: &Library, context: &Context) -> Result<(), Failure> {
    library.remove(&remove.catalogue)?;
    context.output.note(&format!("removed {}", remove.catalogue));
    Ok(())
}
