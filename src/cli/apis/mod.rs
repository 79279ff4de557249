//! `synod apis …`: what can be called.

mod call;
mod eval;

use std::sync::Arc;

use clap::Subcommand;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use synod_agent_node::apis::{LazyEmbedder, Library, Retriever};
use synod_models::{embed::Embedder, store::Store};

use super::{Context, models::open};
use crate::exit::{Failure, with_causes};

/// What embeds documents and questions.
const EMBEDDER: &str = "all-minilm-l6-v2";

/// APIs: what can be called, and calls of it
#[derive(Debug, Subcommand)]
pub(crate) enum Apis {
    /// Turn a request in words into a call of an API
    Call(call::CallCommand),
    /// Ask questions with known answers, and count
    Eval(eval::Eval),
}

pub(super) async fn run(apis: Apis, context: Context) -> Result<(), Failure> {
    let config = context.layers().load()?;
    let store = context.store(&config)?;
    let library = library(&store, &context);
    let working = context.clone();
    context
        .blocking(move || match apis {
            Apis::Call(call) => call::run(&call, &library, &store, &working),
            Apis::Eval(eval) => eval::run(&eval, &library, &store, &working),
        })
        .await
}

/// `--retriever`
fn retriever() -> impl TypedValueParser<Value = Retriever> {
    let names = Retriever::ALL.map(Retriever::name);
    PossibleValuesParser::new(names).try_map(|name| Retriever::from_name(&name).ok_or("no such retriever"))
}

/// The catalogues of this store. The embedding model is fetched when it is first needed.
pub(crate) fn library(store: &Store, context: &Context) -> Library {
    let (dir, store, context) = (store.home().join("apis"), store.clone(), context.clone());
    let load = move || {
        let files = open::here(&store, EMBEDDER, &context).map_err(|failure| failure.message)?;
        let dir = files.weights().parent().unwrap_or(files.weights());
        Embedder::load(dir).map(Arc::new).map_err(|error| with_causes(&error))
    };
    Library::open(dir, LazyEmbedder::new(load))
}
