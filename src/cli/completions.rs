//! `synod completions SHELL`

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Context};
use crate::exit::{ExitCode, Failure};

const EXAMPLES: &str = "\
Examples:
  synod completions bash > ~/.local/share/bash-completion/completions/synod
  synod completions zsh > ~/.zfunc/_synod
  synod completions fish > ~/.config/fish/completions/synod.fish";

/// Print completions for a shell
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

pub(super) fn run(completions: &Completions, context: &Context) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(completions.shell, &mut Cli::command(), "synod", &mut script);
    let script = String::from_utf8(script);
    let script =
        script.map_err(|error| Failure::new(ExitCode::Failed, format!("cannot write completions: {error}")))?;
    context.output.text(script.trim_end())
}
