//! `synod models …`: the model store.

mod generate;
mod list;
mod logprobs;
pub(crate) mod open;
mod pull;
mod render;
mod show;
mod tokenize;
mod verify;

use clap::Subcommand;
use serde::Serialize;
use synod_models::store::{Kind, Manifest, Presence, Store};

use super::Context;
use crate::exit::Failure;

/// The model store
#[derive(Debug, Subcommand)]
pub(crate) enum Models {
    /// List the models there are, and which are here
    List(list::List),
    /// Fetch models into the store
    Pull(pull::Pull),
    /// Show where a model comes from and where its files are
    Show(show::Show),
    /// Check models against their sha256, or any model file
    Verify(verify::Verify),
    /// Turn text into token ids
    Tokenize(tokenize::Tokenize),
    /// Apply a model's chat template
    Render(render::Render),
    /// Log-probabilities of what may follow each of the given tokens
    Logprobs(logprobs::Logprobs),
    /// Let one model answer, without a node or an aggregator
    Generate(generate::Generate),
}

pub(super) async fn run(models: Models, context: Context) -> Result<(), Failure> {
    let config = context.layers().load()?;
    let store = context.store(&config)?;
    let working = context.clone();
    context
        .blocking(move || match models {
            Models::List(list) => list::run(&list, &store, &working),
            Models::Pull(pull) => pull::run(&pull, &store, &working),
            Models::Show(show) => show::run(&show, &store, &working),
            Models::Verify(verify) => verify::run(&verify, &store, &working),
            Models::Tokenize(tokenize) => tokenize::run(&tokenize, &store, &working),
            Models::Render(render) => render::run(&render, &store, &working),
            Models::Logprobs(logprobs) => logprobs::run(&logprobs, &store, &working),
            Models::Generate(generate) => generate::run(&generate, &store, &working),
        })
        .await
}

/// What `list` and `show` tell about a model, the same in both.
#[derive(Debug, Serialize)]
struct Summary<'a> {
    name: &'a str,
    kind: Kind,
    licence: &'a str,
    description: &'a str,
    size_bytes: u64,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    partial_bytes: Option<u64>,
}

impl<'a> Summary<'a> {
    fn of(store: &Store, manifest: &'a Manifest) -> Self {
        let (state, partial_bytes) = match store.presence(manifest) {
            Presence::Present => ("present", None),
            Presence::Unverified => ("unverified", None),
            Presence::Partial { bytes } => ("partial", Some(bytes)),
            Presence::Missing => ("missing", None),
        };
        Self {
            name: &manifest.name,
            kind: manifest.kind,
            licence: &manifest.licence,
            description: &manifest.description,
            size_bytes: manifest.size_bytes(),
            state,
            partial_bytes,
        }
    }
}
