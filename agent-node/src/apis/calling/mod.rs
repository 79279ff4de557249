//! Retrieval-aware calling: from a request and the documents that were found for it to a call that cannot be outside of
//! them.
//!
//! The choice of an API is made first (`choose`), or written by the model itself; then a call is written under a grammar
//! that is built from the chosen APIs' schemas (`schema`), read back and checked against the schemas themselves
//! (`answer`). A call that was cut short or is wrong is an error, never half a call.

mod account;
mod advice;
mod answer;
mod choose;
mod document;
mod grounds;
mod prompt;
mod relax;
mod render;
mod request;
mod rerank;
mod say;
mod schema;
mod vote;
mod weigh;
mod write;

use std::sync::Arc;

use synod_models::{
    engine::{Engine, EngineError, Sampling},
    grammar::GrammarError,
    text::{ChatMessage, TemplateError},
};
use tokio_util::sync::CancellationToken;

pub use account::Exchange;
pub use advice::{Advice, Standing, standing};
pub use answer::{Decision, check};
pub use choose::Judged;
pub(crate) use document::document;
pub use relax::Relaxed;
pub use render::render;
pub use request::{Answered, Retrieval, answer, candidates, ranked};
pub use rerank::{rerank, width};
pub(crate) use say::beginning;
pub use say::say;
pub use vote::{Ballot, Verdict, vote};

use self::{
    account::Account,
    grounds::Grounds,
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
    /// Whether something must be called: that nothing fits is no answer then.
    pub required: bool,
    /// The most calls of one answer.
    pub max_calls: usize,
    /// The most tokens of an answer.
    pub max_tokens: usize,
    /// How the answer's tokens are drawn.
    pub sampling: Sampling,
    /// Whether exchanges with the model are kept.
    pub record: bool,
    /// Ends the work when its caller has gone.
    pub abandoned: CancellationToken,
}

impl CallOptions {
    /// One call, greedily, chosen by judging each document.
    #[must_use]
    pub fn standard() -> Self {
        Self {
            choice: Choice::Judged,
            required: false,
            max_calls: 1,
            max_tokens: 512,
            sampling: Sampling::greedy(),
            record: false,
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
    /// What the model was asked, where it was to be kept.
    pub exchanges: Vec<Exchange>,
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
    let mut account = Account::new(options.record);
    let mut judged = Vec::new();
    let answer = if candidates.is_empty() {
        Answer { decision: Decision::NoCall, probability: 1.0, relaxed: Vec::new() }
    } else {
        match options.choice {
            Choice::Written => {
                let apis: Vec<&Api> = candidates.iter().map(|candidate| &*candidate.api).collect();
                written(engine, conversation, &apis, !options.required, options, &mut account)?
            }
            Choice::Judged => {
                judged = choose::judge(engine, conversation, candidates, options, &mut account)?;
                chosen(engine, conversation, candidates, &judged, options, &mut account)?
            }
        }
    };
    let Answer { decision, probability, relaxed } = answer;
    Ok(Outcome {
        decision,
        confidence: probability,
        judged,
        relaxed,
        spent: account.spent,
        exchanges: account.exchanges(),
    })
}

/// Has the call written with those candidates in view that may be meant.
fn chosen(
    engine: &Engine,
    conversation: &[ChatMessage],
    candidates: &[Candidate],
    judged: &[Judged],
    options: &CallOptions,
    account: &mut Account,
) -> Result<Answer, CallError> {
    let none = 1.0 - judged.iter().map(|one| one.probability).sum::<f64>();
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_by(|&a, &b| judged[b].probability.total_cmp(&judged[a].probability));
    let best = judged[order[0]].probability;
    if none > best {
        return Ok(Answer { decision: Decision::NoCall, probability: none, relaxed: Vec::new() });
    }
    let most = if options.max_calls > 1 { order.len() } else { 1 };
    let meant = order.iter().take(most).filter(|&&index| judged[index].probability >= none);
    let apis: Vec<&Api> = meant.map(|&index| &*candidates[index].api).collect();
    let answer = written(engine, conversation, &apis, false, options, account)?;
    Ok(Answer { probability: best, ..answer })
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
    account: &mut Account,
) -> Result<Answer, CallError> {
    let documents: Vec<String> = apis.iter().map(|api| document(api)).collect();
    let task = if options.max_calls > 1 { Task::Calls } else { Task::Call };
    let prompt = prompt(engine, conversation, &documents, task)?;
    let shape = Shape { calls: options.max_calls, may_decline, may_ask: true };
    let attempt = |level| {
        let (schema, relaxed) = schema(apis, shape, level);
        let schema = schema.to_string();
        let written = write(engine, prompt.ids(), Some(schema.clone()), options);
        written.map(|written| (written, schema, relaxed))
    };
    let (written, schema, relaxed) = match attempt(Level::Full) {
        Err(CallError::Engine(EngineError::Grammar(error))) if is_refusal(&error) => attempt(Level::Plain)?,
        attempt => attempt?,
    };
    account.asked(written.prompt_tokens, written.completion_tokens, || {
        let names: Vec<&str> = apis.iter().map(|api| api.name.as_str()).collect();
        written.told(format!("a call of {}", names.join(" or ")), prompt.clone(), schema)
    });
    let probability = written.probability(choice_bytes(&written));
    let mut decision = answer::read(&written.text, apis)?;
    if !options.required {
        let grounds = Grounds { engine, conversation, documents: &documents, task, prompt: &prompt };
        decision = grounds.hold(decision, apis, &written.text, account)?;
    }
    Ok(Answer { decision, probability, relaxed })
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
