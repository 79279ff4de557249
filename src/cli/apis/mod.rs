//! `synod apis …`: what can be called.

mod eval;

use clap::Subcommand;

use super::Context;
use crate::exit::Failure;

/// APIs: what can be called, and calls of it
#[derive(Debug, Subcommand)]
pub(crate) enum Apis {
    /// Ask questions with known answers, and count
    Eval(eval::Eval),
}

pub(super) async fn run(apis: Apis, context: Context) -> Result<(), Failure> {
    let config = context.layers().load()?;
    let store = context.store(&config)?;
    let working = context.clone();
    context
        .blocking(move || match apis {
            Apis::Eval(eval) => eval::run(&eval, &store, &working),
        })
        .await
}
