//! `synod apis …`: what can be called.

pub(crate) mod consent;
mod journal;
pub(crate) mod undo;

use clap::Subcommand;
use synod_agent_node::apis::execute::Executor;
use synod_agent_node::apis::{Api, LazyEmbedder, Library, LibraryError};
use synod_models::store::Store;

use super::Context;
use crate::config::Config;
use crate::exit::{ExitCode, Failure, with_causes};

/// Catalogues of APIs: what can be called
#[derive(Debug, Subcommand)]
pub(crate) enum Apis {
    /// What was called, what came of it, and what can be undone
    Journal(journal::Journal),
    /// Take back a call, once
    Undo(undo::Undo),
}

pub(super) async fn run(apis: Apis, context: Context) -> Result<(), Failure> {
    let config = context.layers().load()?;
    let store = context.store(&config)?;
    match apis {
        Apis::Journal(journal) => journal::run(&journal, &executor(&config, &store, false)?, &context),
        Apis::Undo(undo) => {
            let executor = executor(&config, &store, false)?;
            undo::run(undo, &executor, all(&library(&store)).map_err(failure)?, &context).await
        }
    }
}

/// What carries out calls, as the configuration says.
pub(crate) fn executor(config: &Config, store: &Store, allow_irreversible: bool) -> Result<Executor, Failure> {
    Executor::new(config.apis.executor(store.home(), allow_irreversible)).map_err(undo::failure)
}

/// The APIs of all catalogues.
fn all(library: &Library) -> Result<Vec<Api>, LibraryError> {
    let mut apis = Vec::new();
    for name in library.names()? {
        apis.extend(library.get(&name)?.catalogue().apis().iter().map(|api| Api::clone(api)));
    }
    Ok(apis)
}

/// The catalogues of this store.
fn library(store: &Store) -> Library {
    Library::open(store.home().join("apis"), LazyEmbedder::new(|| Err("no model is needed".to_owned())))
}

fn failure(error: LibraryError) -> Failure {
    Failure::new(ExitCode::Failed, with_causes(&error))
}
