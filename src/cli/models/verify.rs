//! `synod models verify [NAME]` and `synod models verify --file PATH`

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use synod_models::{
    arch::Config,
    gguf::{GgufFile, dequantize},
    store::{Presence, Store, StoreError, sha256_file},
    text::{ChatTemplate, Tokenizer},
};

use crate::cli::Context;
use crate::exit::{ExitCode, Failure, with_causes};
use crate::progress::Progress;

const EXAMPLES: &str = "\
Without a name, every model that is here is checked. --file reads any file, whole, and says what it is; use its \
sha256 and size to add it as [models.NAME] in synod.toml.

Examples:
  synod models verify
  synod models verify smollm2-135m-instruct
  synod models verify --file ~/Downloads/some-model.gguf --json";

/// Blocks that are read at a time.
const ROW_BLOCKS: usize = 4096;

/// Check models against their sha256, or any model file
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Verify {
    /// A name from `synod models list`
    #[arg(conflicts_with = "file")]
    name: Option<String>,
    /// Check this file instead
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// Print one JSON document (one object a model without a name)
    #[arg(long)]
    json: bool,
}

/// What was found out about one model.
#[derive(Serialize)]
struct Verified<'a> {
    name: &'a str,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// What was found out about a file.
#[derive(Serialize)]
struct FileReport<'a> {
    path: &'a Path,
    format: &'static str,
    size_bytes: u64,
    sha256: String,
    /// The known model it is a file of.
    model: Option<&'a str>,
}

pub(super) fn run(verify: &Verify, store: &Store, context: &Context) -> Result<(), Failure> {
    match (&verify.file, &verify.name) {
        (Some(path), _) => verify_file(path, verify.json, store, context),
        (None, Some(name)) => match verify_model(name, verify.json, store, context)? {
            Some(failure) => Err(failure),
            None => Ok(()),
        },
        (None, None) => verify_all(verify.json, store, context),
    }
}

/// Checks all, and fails at the end if one failed.
fn verify_all(json: bool, store: &Store, context: &Context) -> Result<(), Failure> {
    let is_here = |presence| matches!(presence, Presence::Present | Presence::Unverified);
    let here: Vec<_> = store.list().into_iter().filter(|status| is_here(status.presence)).collect();
    if here.is_empty() {
        context.output.note("there is no model in the store; `synod models pull NAME` fetches one");
    }
    let mut failed = None;
    for status in here {
        if let Some(failure) = verify_model(&status.manifest.name, json, store, context)? {
            if failure.code == ExitCode::Interrupted {
                return Err(failure);
            }
            context.output.failure(&failure);
            failed = Some(Failure::new(ExitCode::Failed, "not every model is what its manifest says"));
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Checks one and reports; what is wrong with the model is returned, not raised, so that others can follow.
fn verify_model(name: &str, json: bool, store: &Store, context: &Context) -> Result<Option<Failure>, Failure> {
    let progress = Progress::new(context.output, "verifying");
    let result = store.verify(name, &progress, context.interrupt.token());
    drop(progress);
    let error = match result {
        Ok(_) if json => return context.output.json(&Verified { name, ok: true, error: None }).map(|()| None),
        Ok(_) => return context.output.text(&format!("{name}: ok")).map(|()| None),
        Err(error) => error,
    };
    let about_the_model = !matches!(error, StoreError::UnknownModel { .. } | StoreError::Cancelled { .. });
    if json && about_the_model {
        context.output.json(&Verified { name, ok: false, error: Some(error.to_string()) })?;
    }
    Ok(Some(error.into()))
}

fn verify_file(path: &Path, json: bool, store: &Store, context: &Context) -> Result<(), Failure> {
    let unreadable =
        |error: io::Error| Failure::new(ExitCode::Failed, format!("cannot read {}: {error}", path.display()));
    let token = context.interrupt.token();
    let format = format_of(path).map_err(unreadable)?.ok_or_else(|| {
        let message = format!("{} is no model file: it begins neither as GGUF nor as safetensors", path.display());
        Failure::new(ExitCode::Failed, message)
    })?;
    if format == "gguf" {
        check_gguf(path)?;
    }
    let each = |_| if token.is_cancelled() { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) };
    let hashed = sha256_file(path, each);
    if token.is_cancelled() {
        return Err(Failure::new(ExitCode::Interrupted, format!("interrupted while reading {}", path.display())));
    }
    let (sha256, size_bytes) = hashed.map_err(unreadable)?;
    let model = store.manifests().find(|manifest| manifest.files.iter().any(|file| file.sha256 == sha256));
    let model = model.map(|manifest| manifest.name.as_str());
    let report = FileReport { path, format, size_bytes, sha256: sha256.to_string(), model };
    if json {
        return context.output.json(&report);
    }
    let known = model.map_or_else(|| "none that is known".to_owned(), str::to_owned);
    context.output.text(&format!(
        "{}\n  format      {format}\n  size_bytes  {size_bytes}\n  sha256      {sha256}\n  model       {known}",
        path.display()
    ))
}

/// Reads the whole file as the engine would: header, tokenizer, template, hyperparameters and every tensor's values.
fn check_gguf(path: &Path) -> Result<(), Failure> {
    let damaged = |error: &dyn std::error::Error| {
        Failure::new(ExitCode::Failed, format!("{} cannot be used: {}", path.display(), with_causes(error)))
    };
    let file = GgufFile::open(path).map_err(|error| damaged(&error))?;
    let tokenizer = Tokenizer::from_gguf(&file).map_err(|error| damaged(&error))?;
    ChatTemplate::from_gguf(&file, &tokenizer).map_err(|error| damaged(&error))?;
    Config::read(&file).map_err(|error| damaged(&error))?;
    for tensor in file.tensors() {
        let rows = tensor.data.chunks(tensor.ty.type_size() * ROW_BLOCKS);
        let mut values = vec![0.0; tensor.ty.block_size() * ROW_BLOCKS];
        for row in rows {
            let values = &mut values[..row.len() / tensor.ty.type_size() * tensor.ty.block_size()];
            dequantize(tensor.ty, row, values).map_err(|error| damaged(&error))?;
            if values.iter().any(|value| !value.is_finite()) {
                let message = format!("{}: tensor `{}` holds values that are no numbers", path.display(), tensor.name);
                return Err(Failure::new(ExitCode::Failed, message));
            }
        }
        file.release_tensor(tensor.name);
    }
    Ok(())
}

/// How the file begins: `GGUF`, or the length of a JSON header and its opening brace.
fn format_of(path: &Path) -> io::Result<Option<&'static str>> {
    let mut start = Vec::new();
    File::open(path)?.take(9).read_to_end(&mut start)?;
    Ok(match start.as_slice() {
        [b'G', b'G', b'U', b'F', ..] => Some("gguf"),
        [_, _, _, _, 0, 0, 0, 0, b'{'] => Some("safetensors"),
        _ => None,
    })
}
