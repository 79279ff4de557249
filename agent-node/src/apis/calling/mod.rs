//! Retrieval-aware calling: from a request and the documents that were found for it to a call that cannot be outside of
//! them.
//!
//! The choice of an API is made first (`choose`), or written by the model itself; then a call is written under a grammar
//! that is built from the chosen APIs' schemas (`schema`), read back and checked against the schemas themselves
//! (`answer`). A call that was cut short or is wrong is an error, never half a call.

mod answer;
mod choose;
mod document;
mod prompt;
mod relax;
mod render;
mod request;
mod say;
mod schema;
mod vote;
mod write;

use std::sync::Arc;

use synod_models::{
    engine::{Engine, EngineError, Sampling},
    grammar::GrammarError,
    text::{ChatMessage, TemplateError},
};
use tokio_util::sync::CancellationToken;

pub use answer::{Decision, check};
pub use choose::Judged;
pub(crate) use document::document;
pub use relax::Relaxed;
pub use render::render;
pub use request::{Answered, Retrieval, answer, candidates};
pub use say::say;
pub use vote::{Ballot, Verdict, vote};

use self::{
    prompt::{Task, prompt},
    relax::Level,
    schema::{Shape, schema},
    write::{Written, write},
};
use super::{Api, LibraryError, SearchError};

/// A document that was found for a request.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The API.
    pub api: Arc<Api>,
    /// What the retriever thought of it, as a log-probability up to a constant; 0 for all where nothing is known.
    pub prior: f64,
}

/// Who chooses the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Each document is judged by itself, and the call is written with the best in view.
    Judged,
    /// The model writes a name with all documents in view.
    Written,
}

/// How calls are made.
#[derive(Debug, Clone)]
pub struct CallOptions {
    /// Who chooses the API.
    pub choice: Choice,
    /// The most calls of one answer.
    pub max_calls: usize,
    /// The most tokens of an answer.
    pub max_tokens: usize,
    /// How the answer's tokens are drawn.
    pub sampling: Sampling,
    /// Ends the work when its caller has gone.
    pub abandoned: CancellationToken,
}

impl CallOptions {
    /// One call, greedily, chosen by judging each document.
    #[must_use]
    pub fn standard() -> Self {
        Self {
            choice: Choice::Judged,
            max_calls: 1,
            max_tokens: 512,
            sampling: Sampling::greedy(),
            abandoned: CancellationToken::new(),
        }
    }
}

/// Tokens that were computed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Spent {
    /// Of prompts, those of judging among them; what was in the cache is not counted while judging.
    pub prompt_tokens: usize,
    /// Written.
    pub completion_tokens: usize,
}

/// What came of a request.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What is to be done.
    pub decision: Decision,
    /// The probability of the choice behind it: of the chosen API among all candidates and none of them where documents are
    /// judged; else that of the tokens that spell its name, among those that the grammar allows.
    pub confidence: f64,
    /// What was thought of each candidate, where they were judged.
    pub judged: Vec<Judged>,
    /// What the decoder was not given.
    pub relaxed: Vec<Relaxed>,
    /// What it took.
    pub spent: Spent,
}

/// Why there is no outcome.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The conversation is empty.
    #[error("there is no request: the conversation must end with one")]
    NoRequest,
    /// Nobody waits for it any more.
    #[error("the call was abandoned")]
    Abandoned,
    /// There is nothing to search.
    #[error("there is no catalogue of APIs: add one with `synod apis add`")]
    NoCatalogue,
    /// A catalogue cannot be read.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// A catalogue cannot be searched.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// The prompt's own template failed.
    #[error("cannot write the prompt of a call")]
    Prompt(#[source] minijinja::Error),
    /// The model's template refuses the conversation.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The engine refused or failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The answer did not end.
    #[error("the call was cut short after {max_tokens} tokens: allow more, or ask for less at once")]
    Cut {
        /// How many were allowed.
        max_tokens: usize,
    },
    /// The answer is none.
    #[error("the model's answer is no call: {problem}: {text}")]
    Unreadable {
        /// Its beginning.
        text: String,
        /// Why.
        problem: String,
    },
    /// The answer calls what was not shown.
    #[error("there is no API {api:?} among those that were found")]
    UnknownApi {
        /// The name.
        api: String,
    },
    /// The arguments are not right.
    #[error("the call of {api} does not fit its document: {problem}")]
    Invalid {
        /// The API.
        api: String,
        /// What is wrong.
        problem: String,
    },
}

/// Turns a request into a call of one of the candidates, or into what there is to say instead. Blocks for as long as a model
/// takes.
///
/// # Errors
/// When the model cannot be asked, or what it wrote is no call.
pub fn call(
    engine: &Engine,
    conversation: &[ChatMessage],
    candidates: &[Candidate],
    options: &CallOptions,
) -> Result<Outcome, CallError> {
    let mut spent = Spent::default();
    if candidates.is_empty() {
        let (judged, relaxed) = (Vec::new(), Vec::new());
        return Ok(Outcome { decision: Decision::NoCall, confidence: 1.0, judged, relaxed, spent });
    }
    match options.choice {
        Choice::Written => {
            let apis: Vec<&Api> = candidates.iter().map(|candidate| &*candidate.api).collect();
            let answer = written(engine, conversation, &apis, true, options, &mut spent)?;
            let Answer { decision, probability, relaxed } = answer;
            Ok(Outcome { decision, confidence: probability, judged: Vec::new(), relaxed, spent })
        }
        Choice::Judged => judged(engine, conversation, candidates, options, spent),
    }
}

/// Judges the candidates, and has the call written with those in view that may be meant.
fn judged(
    engine: &Engine,
    conversation: &[ChatMessage],
    candidates: &[Candidate],
    options: &CallOptions,
    mut spent: Spent,
) -> Result<Outcome, CallError> {
    let judged = choose::judge(engine, conversation, candidates, &options.abandoned, &mut spent)?;
    let none = 1.0 - judged.iter().map(|one| one.probability).sum::<f64>();
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_by(|&a, &b| judged[b].probability.total_cmp(&judged[a].probability));
    let best = judged[order[0]].probability;
    if none > best {
        return Ok(Outcome { decision: Decision::NoCall, confidence: none, judged, relaxed: Vec::new(), spent });
    }
    let most = if options.max_calls > 1 { order.len() } else { 1 };
    let meant = order.iter().take(most).filter(|&&index| judged[index].probability >= none);
    let apis: Vec<&Api> = meant.map(|&index| &*candidates[index].api).collect();
    let Answer { decision, relaxed, .. } = written(engine, conversation, &apis, false, options, &mut spent)?;
    Ok(Outcome { decision, confidence: best, judged, relaxed, spent })
}

/// What was written and read.
struct Answer {
    decision: Decision,
    /// Of what was chosen, among what could have been.
    probability: f64,
    relaxed: Vec<Relaxed>,
}

fn written(
    engine: &Engine,
    conversation: &[ChatMessage],
    apis: &[&Api],
    may_decline: bool,
    options: &CallOptions,
    spent: &mut Spent,
) -> Result<Answer, CallError> {
    let documents: Vec<String> = apis.iter().map(|api| document(api)).collect();
    let task = if options.max_calls > 1 { Task::Calls } else { Task::Call };
    let ids = prompt(engine, conversation, &documents, task)?;
    let shape = Shape { calls: options.max_calls, may_decline, may_ask: true };
    let attempt = |level| {
        let (schema, relaxed) = schema(apis, shape, level);
        let written = write(engine, &ids, Some(schema.to_string()), options);
        written.map(|written| (written, relaxed))
    };
    let (written, relaxed) = match attempt(Level::Full) {
        Err(CallError::Engine(EngineError::Grammar(error))) if is_refusal(&error) => attempt(Level::Plain)?,
        attempt => attempt?,
    };
    spent.prompt_tokens += written.prompt_tokens;
    spent.completion_tokens += written.completion_tokens;
    let probability = written.probability(choice_bytes(&written));
    Ok(Answer { decision: answer::read(&written.text, apis)?, probability, relaxed })
}

/// Whether a schema with fewer keywords may pass.
fn is_refusal(error: &GrammarError) -> bool {
    matches!(error, GrammarError::Schema { .. } | GrammarError::SchemaCompile(_) | GrammarError::Unsatisfiable(_))
}

/// Where in an answer the choice ends: behind the first name, and whether arguments follow.
fn choice_bytes(written: &Written) -> usize {
    let end =
        ["\"arguments\":", "\"missing\":"].iter().filter_map(|key| Some(written.text.find(key)? + key.len())).min();
    end.unwrap_or(written.text.len())
}

#[cfg(test)]
mod tests;
