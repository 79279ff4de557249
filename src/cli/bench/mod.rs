//! `synod bench …`: speed, measured through the same engine that serves.

mod contention;
mod grammar;
mod lookup;
mod moa;
mod prefix;
mod speed;
mod streaming;
mod work;

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use synod_models::{engine::Engine, store::Store};

use super::{Context, models::open};
use crate::exit::Failure;

/// Measure speed
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// One model in this process
    Engine(EngineBench),
    /// A mixture of one model with itself, over gRPC
    Moa(moa::MoaBench),
}

/// One model in this process
#[derive(Debug, Args)]
pub(crate) struct EngineBench {
    /// Which model
    #[arg(long, value_name = "NAME")]
    model: String,
    /// What to measure
    #[arg(long, value_enum, default_value_t = Scenario::Speed)]
    scenario: Scenario,
    /// Tokens of the prompt
    #[arg(long, value_name = "N", default_value_t = 512)]
    prompt_tokens: usize,
    /// Tokens to write, a sequence
    #[arg(long, value_name = "N", default_value_t = 64)]
    decode_tokens: usize,
    /// Sequences that share the prompt and decode together
    #[arg(long, value_name = "N", default_value_t = 6)]
    sequences: usize,
    /// Threads, 0 for one a core
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// How often to measure; the median is told
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: usize,
    #[command(flatten)]
    device: open::DeviceFlag,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Scenario {
    /// Prefill, one sequence, several sequences
    Speed,
    /// Prompt lookup against plain decoding, on syntheses of real drafts
    Lookup,
    /// A long shared beginning: computed once, and how it weighs on decoding
    Prefix,
    /// A prompt that arrives in parts, against the same prompt at once
    Streaming,
    /// Decoding while other programs want the cores
    Contention,
    /// What a JSON schema costs a token
    Grammar,
}

pub(super) async fn run(bench: Bench, context: Context) -> Result<(), Failure> {
    let bench = match bench {
        Bench::Engine(bench) => bench,
        Bench::Moa(bench) => return bench.run(context).await,
    };
    let config = context.layers().load()?;
    let store = context.store(&config)?;
    let working = context.clone();
    context.blocking(move || bench.run(&store, &working)).await
}

impl EngineBench {
    fn run(&self, store: &Store, context: &Context) -> Result<(), Failure> {
        self.device.ready()?;
        open::path(store, &self.model, context)?; // a download is not loading
        match self.scenario {
            Scenario::Speed => self.tell(speed::measure(self, store, context)?, context),
            Scenario::Lookup => self.tell(lookup::measure(self, &self.engine(store, context)?)?, context),
            Scenario::Prefix => self.tell(prefix::measure(self, &self.engine(store, context)?)?, context),
            Scenario::Streaming => self.tell(streaming::measure(self, &self.engine(store, context)?)?, context),
            Scenario::Grammar => self.tell(grammar::measure(self, &self.engine(store, context)?)?, context),
            Scenario::Contention => self.tell(contention::measure(self, store, context)?, context),
        }
    }

    fn engine(&self, store: &Store, context: &Context) -> Result<Engine, Failure> {
        open::engine(store, &self.model, self.threads, self.device, context)
    }

    fn tell<T: Serialize + std::fmt::Display>(&self, measured: T, context: &Context) -> Result<(), Failure> {
        match self.json {
            true => context.output.json(&measured),
            false => context.output.text(&measured.to_string()),
        }
    }
}

/// The middle one.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
