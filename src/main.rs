//! `synod`: several small local language models, one better answer.
//!
//! This file starts and ends the process. What the commands do is in [`cli`], one file each.

mod cli;
mod cluster;
mod config;
mod exit;
mod http;
mod live;
mod logging;
mod network;
mod output;
mod progress;
mod records;
mod signals;
mod state;
mod telemetry;
mod terminal;
mod topologies;
mod warnings;

use clap::Parser;

use cli::{Cli, Context};
use exit::{ExitCode, Failure};
use output::Output;
use signals::Interrupt;
use telemetry::Telemetry;

fn main() -> std::process::ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error).into(),
    };
    let output = Output::new(cli.global.quiet);
    match run(cli, output) {
        Ok(()) => ExitCode::Ok.into(),
        Err(failure) => {
            output.failure(&failure);
            failure.code.into()
        }
    }
}

/// Runs the command to its end, and sends the last of what it has to tell. The runtime is gone before the exit code is
/// decided, and with it every task.
fn run(cli: Cli, output: Output) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Failure::new(ExitCode::Failed, format!("cannot start the runtime: {error}")))?;
    let telemetry = {
        let _within = runtime.enter();
        Telemetry::open(&cli)
    };
    logging::start(cli.global.log_format, cli.global.quiet, telemetry.layer());
    telemetry.complain();
    let done = runtime.block_on(async {
        let context = Context { output, interrupt: Interrupt::install(), config_file: cli.global.config };
        cli::run(cli.command, context).await
    });
    telemetry.flush();
    done
}

/// What clap has to say: help and version on stdout, mistakes on stderr.
fn usage(error: &clap::Error) -> ExitCode {
    // If the terminal is gone there is nobody left to tell.
    let _ = error.print();
    if error.use_stderr() { ExitCode::Usage } else { ExitCode::Ok }
}
