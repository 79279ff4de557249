//! `synod models generate --model NAME --messages FILE`

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use synod_models::{
    engine::{Event, FinishReason, Sampling, SequenceOptions},
    store::Store,
};

use super::open;
use crate::cli::Context;
use crate::exit::{ExitCode, Failure};

/// Let one model answer, without a node or an aggregator
#[derive(Debug, Args)]
pub(crate) struct Generate {
    /// Which model
    #[arg(long, value_name = "NAME")]
    model: String,
    /// A JSON file: [{"role": "user", "content": "…"}, …]
    #[arg(long, value_name = "FILE")]
    messages: PathBuf,
    /// Always take the likeliest token
    #[arg(long, conflicts_with_all = ["temperature", "seed"])]
    greedy: bool,
    /// From 0 (greedy) to 2
    #[arg(long, value_name = "T", default_value_t = 0.7)]
    temperature: f32,
    /// The same seed writes the same text
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// The most tokens to write
    #[arg(long, value_name = "N", default_value_t = 256)]
    max_tokens: usize,
    #[command(flatten)]
    device: open::DeviceFlag,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Generated {
    ids: Vec<u32>,
    text: String,
    finish_reason: &'static str,
}

pub(super) fn run(generate: &Generate, store: &Store, context: &Context) -> Result<(), Failure> {
    let messages = open::messages(&generate.messages)?;
    let engine = open::engine(store, &generate.model, 0, generate.device, context)?;
    let pieces = engine.template().render_pieces(&messages).map_err(open::unusable)?;
    let greedy = Sampling::greedy();
    let sampling = match generate.greedy {
        true => greedy,
        false => Sampling { temperature: generate.temperature, top_k: 40, top_p: 0.95, seed: generate.seed, ..greedy },
    };
    let sequence = engine.open(SequenceOptions {
        sampling,
        max_tokens: generate.max_tokens,
        stop: Vec::new(),
        ignore_end: false,
        top_logprobs: 0,
        grammar: None,
        prompt_lookup: true,
    });
    let mut sequence = sequence.map_err(open::unusable)?;
    let mut ids = engine.tokenizer().encode_pieces(&pieces);
    if engine.tokenizer().add_bos() && ids.first().copied() != engine.tokenizer().bos() {
        ids.splice(0..0, engine.tokenizer().bos());
    }
    sequence.prompt.append(&ids).and_then(|()| sequence.prompt.finish()).map_err(open::unusable)?;
    let mut written = Generated { ids: Vec::new(), text: String::new(), finish_reason: "" };
    while let Some(event) = sequence.events.blocking_next() {
        if context.interrupt.token().is_cancelled() {
            return Err(Failure::new(ExitCode::Interrupted, "interrupted"));
        }
        match event.map_err(open::unusable)? {
            Event::Token(token) => {
                written.ids.push(token.id);
                written.text += &token.text;
            }
            Event::Finished(finished) => {
                written.text += &finished.text;
                written.finish_reason = match finished.reason {
                    FinishReason::Stop => "stop",
                    FinishReason::Length => "length",
                };
            }
        }
    }
    if generate.json { context.output.json(&written) } else { context.output.text(&written.text) }
}
