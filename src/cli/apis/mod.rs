//! `synod apis …`: what can be called.

mod add;
mod call;
mod consent;
mod eval;
mod journal;
mod list;
mod refresh;
mod remove;
mod search;
mod show;
mod undo;

use std::sync::Arc;

use clap::Subcommand;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use synod_agent_node::apis::{
    Api, Change, EmbedProgress, LazyEmbedder, Library, LibraryError, Retriever, SearchError, execute::Executor,
};
use synod_models::{embed::Embedder, store::Store};

use super::{Context, models::open};
use crate::config::Config;
use crate::exit::{ExitCode, Failure, with_causes};
use crate::output::Output;

/// What embeds documents and questions.
const EMBEDDER: &str = "all-minilm-l6-v2";
/// Records that are named before the rest is counted.
const NAMED_RECORDS: usize = 10;

/// Catalogues of APIs: what can be called
#[derive(Debug, Subcommand)]
pub(crate) enum Apis {
    /// Read the APIs of a document or a server into a catalogue
    Add(add::Add),
    /// List the catalogues
    List(list::List),
    /// Show a catalogue, or one of its APIs
    Show(show::Show),
    /// Take a catalogue away
    Remove(remove::Remove),
    /// Read sources again; what changed is published to the nodes that run
    Refresh(refresh::Refresh),
    /// Find the APIs that fit a question
    Search(search::Search),
    /// Turn a request in words into a call of an API
    Call(call::CallCommand),
    /// What was called, what came of it, and what can be undone
    Journal(journal::Journal),
    /// Take back a call, once
    Undo(undo::Undo),
    /// Ask questions with known answers, and count
    Eval(eval::Eval),
}

pub(super) async fn run(apis: Apis, context: Context) -> Result<(), Failure> {
    let config = context.layers().load()?;
    let store = context.store(&config)?;
    let library = Arc::new(library(&store, &context));
    let working = context.clone();
    match apis {
        Apis::Add(add) => add::run(add, &library, &context).await,
        Apis::List(list) => list::run(&list, &library, &context),
        Apis::Show(show) => show::run(&show, &library, &context),
        Apis::Remove(remove) => remove::run(&remove, &library, &context),
        Apis::Refresh(refresh) => refresh::run(refresh, &library, &context).await,
        Apis::Search(search) => context.blocking(move || search::run(&search, &library, &store, &working)).await,
        Apis::Call(call) => call::run(call, library, store, &config, &context).await,
        Apis::Journal(journal) => journal::run(&journal, &executor(&config, &store, false)?, &context),
        Apis::Undo(undo) => undo::run(undo, &executor(&config, &store, false)?, all(&library)?, &context).await,
        Apis::Eval(eval) => context.blocking(move || eval::run(&eval, &library, &store, &config, &working)).await,
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

/// A bar on a terminal; nothing elsewhere.
fn progress(output: Output) -> EmbedProgress {
    if output.is_quiet() || !output.is_watched() {
        return Arc::new(|_, _| {});
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("embedding {bar:25} {pos}/{len} {eta}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
    Arc::new(move |done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
        if done == total {
            bar.finish_and_clear();
        }
    })
}

/// What happened, as text; the records that were left out go to stderr.
fn told(change: &Change, output: Output) -> String {
    for skipped in change.skipped.iter().take(NAMED_RECORDS) {
        output.note(&format!("skipped {}: {}", skipped.place, skipped.reason));
    }
    if change.skipped.len() > NAMED_RECORDS {
        output.note(&format!("skipped {} more", change.skipped.len() - NAMED_RECORDS));
    }
    let Change { name, version, apis, difference, skipped, published } = change;
    let short = &version[..version.len().min(12)];
    if !published {
        return format!("{name} {short}: unchanged, {apis} APIs");
    }
    let mut text = format!("{name} {short}: {apis} APIs, {} skipped", skipped.len());
    for (mark, names) in [('+', &difference.added), ('~', &difference.changed), ('-', &difference.removed)] {
        // All of a new catalogue is new: its count says that.
        if names.len() == *apis && mark == '+' {
            continue;
        }
        names.iter().for_each(|name| text.push_str(&format!("\n  {mark} {name}")));
    }
    text
}

impl From<LibraryError> for Failure {
    fn from(error: LibraryError) -> Self {
        let code = match error {
            LibraryError::Unknown { .. } | LibraryError::Name { .. } => ExitCode::Usage,
            _ => ExitCode::Failed,
        };
        Self::new(code, with_causes(&error))
    }
}

impl From<SearchError> for Failure {
    fn from(error: SearchError) -> Self {
        Self::new(ExitCode::Failed, with_causes(&error))
    }
}
