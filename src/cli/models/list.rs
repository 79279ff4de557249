//! `synod models list`

use clap::Args;
use indicatif::DecimalBytes;
use serde::Serialize;
use synod_models::store::Store;

use super::Summary;
use crate::cli::Context;
use crate::exit::Failure;

const EXAMPLES: &str = "\
States: present (here and verified), unverified (here, and hashed before its next use), partial (a pull was \
interrupted; pull again to go on), missing.

Examples:
  synod models list
  synod models list --json | jq -r '.models[] | select(.state == \"present\") | .name'";

/// List the models there are, and which are here
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct List {
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) fn run(list: &List, store: &Store, context: &Context) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Listing<'a> {
        home: &'a std::path::Path,
        models: Vec<Summary<'a>>,
    }
    let models: Vec<_> = store.manifests().map(|manifest| Summary::of(store, manifest)).collect();
    if list.json {
        return context.output.json(&Listing { home: store.home(), models });
    }
    let width = models.iter().map(|model| model.name.len()).max().unwrap_or(0);
    let heading = format!("{:width$}  {:9}  {:>9}  {:10}  {:10}  WHAT", "NAME", "KIND", "SIZE", "STATE", "LICENCE");
    let mut text = context.output.heading(&heading);
    for model in &models {
        let size = DecimalBytes(model.size_bytes).to_string();
        let (kind, state, licence) = (model.kind, model.state, model.licence);
        let line =
            format!("{:width$}  {kind:9}  {size:>9}  {state:10}  {licence:10}  {}", model.name, model.description);
        text = format!("{text}\n{}", line.trim_end());
    }
    context.output.text(&text)
}
