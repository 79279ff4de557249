//! `synod models show NAME`

use std::path::PathBuf;

use clap::Args;
use indicatif::DecimalBytes;
use serde::Serialize;
use synod_models::store::{ManifestFile, Store};

use super::Summary;
use crate::cli::Context;
use crate::exit::Failure;

const EXAMPLES: &str = "\
Examples:
  synod models show qwen2.5-coder-0.5b-instruct
  synod models show all-minilm-l6-v2 --json | jq -r '.files[].path'";

/// Show where a model comes from and where its files are
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Show {
    /// A name from `synod models list`
    name: String,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    summary: Summary<'a>,
    files: Vec<ShownFile<'a>>,
}

#[derive(Serialize)]
struct ShownFile<'a> {
    path: PathBuf,
    #[serde(flatten)]
    manifest: Described<'a>,
}

/// A file of the manifest without its path within the store, which nobody needs beside the real one.
#[derive(Serialize)]
struct Described<'a> {
    size_bytes: u64,
    sha256: String,
    sources: &'a [synod_models::store::Source],
}

pub(super) fn run(show: &Show, store: &Store, context: &Context) -> Result<(), Failure> {
    let manifest = store.manifest(&show.name)?;
    let file = |file: &'_ ManifestFile| store.file_path(file);
    let files = manifest.files.iter().map(|one| ShownFile {
        path: file(one),
        manifest: Described { size_bytes: one.size_bytes, sha256: one.sha256.to_string(), sources: &one.sources },
    });
    let shown = Shown { summary: Summary::of(store, manifest), files: files.collect() };
    if show.json { context.output.json(&shown) } else { context.output.text(&describe(&shown, context)) }
}

fn describe(shown: &Shown<'_>, context: &Context) -> String {
    let Summary { name, kind, licence, description, state, size_bytes, .. } = &shown.summary;
    let size = DecimalBytes(*size_bytes);
    let mut lines = vec![
        context.output.heading(name),
        format!("  {description}"),
        format!("  kind     {kind}"),
        format!("  licence  {licence}"),
        format!("  size     {size}"),
        format!("  state    {state}"),
    ];
    for file in &shown.files {
        lines.push(format!("  file     {}", file.path.display()));
        lines.push(format!("    bytes  {}", file.manifest.size_bytes));
        lines.push(format!("    sha256 {}", file.manifest.sha256));
        lines.extend(file.manifest.sources.iter().map(|source| format!("    from   {source}")));
    }
    lines.join("\n")
}
