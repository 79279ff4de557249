//! `synod models logprobs --model NAME --ids-file FILE`

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use synod_models::store::Store;

use super::open;
use crate::cli::Context;
use crate::exit::Failure;

/// Log-probabilities of what may follow each of the given tokens
#[derive(Debug, Args)]
pub(crate) struct Logprobs {
    /// Which model
    #[arg(long, value_name = "NAME")]
    model: String,
    /// A JSON file with a list of token ids
    #[arg(long, value_name = "FILE")]
    ids_file: PathBuf,
    /// How many of the likeliest tokens to tell, for each position
    #[arg(long, value_name = "N", default_value_t = 5)]
    top: usize,
    #[command(flatten)]
    device: open::DeviceFlag,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Scored {
    positions: Vec<Position>,
}

#[derive(Serialize)]
struct Position {
    top: Vec<(u32, f32)>,
}

pub(super) fn run(logprobs: &Logprobs, store: &Store, context: &Context) -> Result<(), Failure> {
    let ids: Vec<u32> = open::json(&logprobs.ids_file, "a list of token ids, such as [1, 2, 3]")?;
    let engine = open::engine(store, &logprobs.model, 0, logprobs.device, context)?;
    let positions = engine.score(ids, logprobs.top).map_err(open::unusable)?;
    let positions: Vec<_> = positions.into_iter().map(|top| Position { top }).collect();
    if logprobs.json {
        return context.output.json(&Scored { positions });
    }
    for (index, Position { top }) in positions.iter().enumerate() {
        let tokens = top.iter().map(|&(id, logprob)| format!("{:?} {logprob:.3}", engine.tokenizer().token_text(id)));
        context.output.text(&format!("{index:>5}  {}", tokens.collect::<Vec<_>>().join("  ")))?;
    }
    Ok(())
}
