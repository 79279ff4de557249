//! `synod models render --model NAME --messages FILE`

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use synod_models::{
    store::Store,
    text::{ChatTemplate, Tokenizer},
};

use super::open;
use crate::cli::Context;
use crate::exit::Failure;

/// Apply a model's chat template
#[derive(Debug, Args)]
pub(crate) struct Render {
    /// Whose template
    #[arg(long, value_name = "NAME")]
    model: String,
    /// A JSON file: [{"role": "user", "content": "…"}, …]
    #[arg(long, value_name = "FILE")]
    messages: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Rendered {
    text: String,
    ids: Vec<u32>,
}

pub(super) fn run(render: &Render, store: &Store, context: &Context) -> Result<(), Failure> {
    let messages = open::messages(&render.messages)?;
    let file = open::file(store, &render.model, context)?;
    let tokenizer = Tokenizer::from_gguf(&file).map_err(open::unusable)?;
    let template = ChatTemplate::from_gguf(&file, &tokenizer).map_err(open::unusable)?;
    let text = template.render(&messages, true).map_err(open::unusable)?;
    if !render.json {
        return context.output.text(&text);
    }
    let pieces = template.render_pieces(&messages).map_err(open::unusable)?;
    context.output.json(&Rendered { text, ids: tokenizer.encode_pieces(&pieces) })
}
