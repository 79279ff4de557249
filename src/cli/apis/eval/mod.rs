//! `synod apis eval FILE`

mod documents;
mod panel;
mod read;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget};
use synod_agent_node::apis::{
    Library,
    eval::{self, Report},
};
use synod_models::store::Store;

use documents::{Distractors, Documents, Source};

use super::Context;
use crate::{
    cli::models::open,
    config::Config,
    exit::{ExitCode, Failure},
};

const EXAMPLES: &str = "\
Examples:
  synod apis eval simple_python.jsonl                            BFCL: each question brings its functions
  synod apis eval eval.jsonl --catalogue torchhub --limit 60     APIBench: documents are searched for
  synod apis eval eval.jsonl --catalogue torchhub --distractors random --cards 4
  synod apis eval multiple.jsonl --model qwen2.5-coder-0.5b-instruct --members 3
  synod apis eval multiple.jsonl --topology moa";

/// Ask questions with known answers, and count
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Eval {
    /// Questions, one JSON object a line: BFCL's or APIBench's
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The catalogue that APIBench's questions are about
    #[arg(long, value_name = "NAME")]
    catalogue: Option<String>,
    /// How documents are found for them
    #[arg(long, value_enum, default_value_t = Source::Hybrid)]
    retriever: Source,
    /// How many documents to look at
    #[arg(long, value_name = "N", default_value_t = 5)]
    top_k: usize,
    /// Show the right document among wrong ones in place of what is found
    #[arg(long, value_enum)]
    distractors: Option<Distractors>,
    /// How many documents there are with it
    #[arg(long, value_name = "N", default_value_t = 4)]
    cards: usize,
    /// Which models answer, in turn where there are several members
    #[arg(long = "model", value_name = "NAME", default_value = "qwen2.5-coder-1.5b-instruct")]
    models: Vec<String>,
    /// How many members vote
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    members: u8,
    /// Ask a topology: those who draft first vote, its synthesiser decides between calls that differ
    #[arg(long, value_name = "NAME", conflicts_with_all = ["models", "members"])]
    topology: Option<String>,
    /// Who chooses the API
    #[arg(long, value_enum, default_value_t = Chooser::Judged)]
    choice: Chooser,
    /// The most calls of an answer
    #[arg(long, value_name = "N", default_value_t = 1)]
    max_calls: usize,
    /// Every question must be answered with a call
    #[arg(long)]
    required: bool,
    /// Ask only so many questions of each file, drawn by the seed
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Seeds what is drawn
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Questions that are asked at the same time
    #[arg(long, value_name = "N", default_value_t = 4)]
    at_once: usize,
    #[command(flatten)]
    device: open::DeviceFlag,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Who chooses the API
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Chooser {
    /// Each document is judged by itself
    Judged,
    /// The model writes a name with all documents in view
    Written,
}

pub(super) fn run(
    eval: &Eval,
    library: &Library,
    store: &Store,
    config: &Config,
    context: &Context,
) -> Result<(), Failure> {
    let mut questions = Vec::new();
    let documents = Documents::open(eval, library)?;
    for file in &eval.files {
        questions.extend(read::questions(file, eval.limit, eval.seed, &documents)?);
    }
    let panel = panel::open(eval, config, store, context)?;
    let target = if context.output.is_quiet() { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(questions.len() as u64), target);
    let stop = context.interrupt.token();
    let report = eval::run(&questions, &panel, eval.at_once, &|done| {
        bar.set_position(done as u64);
        !stop.is_cancelled()
    });
    bar.finish_and_clear();
    if stop.is_cancelled() {
        return Err(Failure::new(ExitCode::Interrupted, "interrupted"));
    }
    if eval.json { context.output.json(&report) } else { context.output.text(&table(&report)) }
}

fn table(report: &Report) -> String {
    let mut lines = vec![format!(
        "{:<18} {:>5} {:>7} {:>7} {:>7} {:>8} {:>6} {:>6} {:>6} {:>6}",
        "", "asked", "right", "api", "domain", "recalled", "abst.", "asks", "none", "hall."
    )];
    for (name, of) in &report.categories {
        let share = |count: usize| format!("{:.1}", count as f64 * 100.0 / of.questions.max(1) as f64);
        lines.push(format!(
            "{name:<18} {:>5} {:>7} {:>7} {:>7} {:>8} {:>6} {:>6} {:>6} {:>6}",
            of.questions,
            share(of.right),
            share(of.right_api),
            share(of.right_domain),
            share(of.recalled),
            share(of.abstained),
            share(of.asked),
            share(of.unparseable),
            share(of.hallucinated),
        ));
    }
    lines.push(format!("{:.0} s; shares in percent; `none` are answers that could not be read", report.seconds));
    lines.join("\n")
}
