//! `synod models tokenize --model NAME TEXT`

use clap::Args;
use serde::Serialize;
use synod_models::{
    store::Store,
    text::{Specials, Tokenizer},
};

use super::open;
use crate::cli::Context;
use crate::exit::Failure;

/// Turn text into token ids
#[derive(Debug, Args)]
pub(crate) struct Tokenize {
    /// Whose tokenizer
    #[arg(long, value_name = "NAME")]
    model: String,
    /// Read special tokens such as <|im_start|> in TEXT as tokens; without it they are plain text
    #[arg(long)]
    special: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// The text; no beginning-of-sequence token is added
    text: String,
}

#[derive(Serialize)]
struct Tokens {
    ids: Vec<u32>,
}

pub(super) fn run(tokenize: &Tokenize, store: &Store, context: &Context) -> Result<(), Failure> {
    let tokenizer = Tokenizer::from_gguf(&open::file(store, &tokenize.model, context)?).map_err(open::unusable)?;
    let specials = if tokenize.special { Specials::Parse } else { Specials::AsText };
    let ids = tokenizer.encode(&tokenize.text, specials);
    if tokenize.json {
        return context.output.json(&Tokens { ids });
    }
    let lines = ids.iter().map(|&id| format!("{id:>8}  {:?}", tokenizer.token_text(id)));
    context.output.text(&lines.collect::<Vec<_>>().join("\n"))
}
