//! The command line. One file a command: its arguments as a clap `Args`, and `run`, which gets them and a [`Context`].
//!
//! A new command is a new file, a variant of [`Command`] and a line in [`run`].

mod aggregator;
mod apis;
mod ask;
mod bench;
mod chat;
mod completions;
mod keys;
mod models;
mod node;
mod plan;
mod question;
mod reach;
mod runs;
mod tls;
mod topology;
mod up;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use synod_models::store::Store;

use crate::config::{Config, Layers};
use crate::exit::{ExitCode, Failure};
use crate::logging::LogFormat;
use crate::output::Output;
use crate::signals::Interrupt;

const EXAMPLES: &str = "\
Examples:
  synod ask 'Why is the sky blue?'         everything: models, nodes, one answer
  synod ask --show --topology moa-3 '…'    three layers, every draft as it is written
  synod chat                               a conversation: drafts as they are written, history, commands
  synod runs show last --prompts           what each model was given, and what it made of it
  synod up                                 keep a cluster running for later questions
  synod models list                        what can be used, and what is here already
  synod models pull smollm2-135m-instruct  fetch a model, or go on with an interrupted fetch
  synod completions bash > synod.bash      completions for your shell

Configuration: ./synod.toml (or synod/synod.toml in the XDG config folder, or --config FILE), overridden by \
variables such as SYNOD__AGGREGATOR__LISTEN=127.0.0.1:7600, overridden by flags.

Models are kept in $SYNOD_HOME, or else in synod in the XDG cache folder.

Exit codes: 0 done, 1 failed, 2 wrong usage, 64 wrong configuration, 69 nothing reachable, 130 interrupted";

/// Several small local language models, one better answer
#[derive(Debug, Parser)]
#[command(name = "synod", version, after_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Read this file in place of ./synod.toml
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Say nothing but results and errors
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// How logs look on stderr; RUST_LOG chooses which
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Ask a question of several models and get one answer
    Ask(ask::Ask),
    /// Talk with several models: each question goes along with what was said before
    Chat(chat::Chat),
    /// Start nodes and an aggregator on this machine; Ctrl-C drains
    Up(up::Up),
    /// Host models and serve them over gRPC
    Node(node::Node),
    /// Serve topologies over nodes that run already
    Aggregator(aggregator::Aggregator),
    /// Topologies: which there are, what they do, whether a file is right
    #[command(subcommand)]
    Topology(topology::TopologyCommand),
    /// Recorded runs: what was asked, what each model was given, what came of it
    #[command(subcommand)]
    Runs(runs::Runs),
    /// The model store: list, pull, show and verify models
    #[command(subcommand)]
    Models(models::Models),
    /// API keys of the HTTP interface
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// What a model takes of this machine: memory, and how fast it will be
    Plan(plan::Plan),
    /// APIs: what can be called, and calls of it
    #[command(subcommand)]
    Apis(apis::Apis),
    /// Measure speed
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Print completions for a shell
    Completions(completions::Completions),
}

impl Command {
    /// What it is called in traces, where it takes part in runs.
    pub(crate) fn service(&self) -> Option<&'static str> {
        match self {
            Self::Node(_) => Some("synod-node"),
            Self::Ask(_) | Self::Up(_) | Self::Aggregator(_) => Some("synod-aggregator"),
            _ => None,
        }
    }
}

/// What every command works with.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// Where results go.
    pub(crate) output: Output,
    /// Whether the user wants to stop.
    pub(crate) interrupt: Interrupt,
    /// The flag `--config`.
    pub(crate) config_file: Option<PathBuf>,
}

/// Runs a command.
///
/// # Errors
/// It did not work; main says so and exits with the failure's code.
pub(crate) async fn run(command: Command, context: Context) -> Result<(), Failure> {
    match command {
        Command::Ask(ask) => ask::run(ask, context).await,
        Command::Chat(chat) => Box::pin(chat::run(chat, context)).await,
        Command::Up(up) => Box::pin(up::run(up, context)).await,
        Command::Node(node) => Box::pin(node::run(node, context)).await,
        Command::Aggregator(aggregator) => Box::pin(aggregator::run(aggregator, context)).await,
        Command::Topology(topology) => topology::run(&topology, &context),
        Command::Runs(runs) => Box::pin(runs::run(runs, context)).await,
        Command::Models(models) => models::run(models, context).await,
        Command::Keys(keys) => keys::run(keys, &context),
        Command::Plan(plan) => plan::run(plan, context).await,
        Command::Apis(apis) => Box::pin(apis::run(apis, context)).await,
        Command::Bench(bench) => bench::run(bench, context).await,
        Command::Completions(completions) => completions::run(&completions, &context),
    }
}

impl Context {
    /// The layers of the configuration, to which a command adds its flags before loading them.
    pub(crate) fn layers(&self) -> Layers {
        Layers::of_process(self.config_file.as_deref())
    }

    /// The store, with the user's own models.
    ///
    /// # Errors
    /// There is no place for a store.
    pub(crate) fn store(&self, config: &Config) -> Result<Store, Failure> {
        Ok(Store::open()?.with_manifests(config.models.clone()))
    }

    /// Runs work that blocks, off the threads that serve.
    ///
    /// # Errors
    /// The work's own, or it panicked.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => result,
            Err(error) => Err(Failure::new(ExitCode::Failed, format!("internal error: {error}"))),
        }
    }
}
