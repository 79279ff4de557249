//! What a model is asked. Documents stand before the request, so that requests share what was computed of them.

use minijinja::{Environment, Value, context};
use synod_models::{engine::Engine, text::ChatMessage};

use super::CallError;
use crate::prompt::Stretch;

const SYSTEM: &str = include_str!("prompts/system.jinja");
const REQUEST: &str = include_str!("prompts/request.jinja");
const TELLER: &str = include_str!("prompts/teller.jinja");
const RESULT: &str = include_str!("prompts/result.jinja");

/// What is asked of the documents and the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    /// Whether the one document is about the request: yes or no.
    Fits,
    /// To write a call.
    Call,
    /// To write as many calls as the request asks for.
    Calls,
}

/// The prompt. `conversation` ends with the request; documents and conversation are data in it, whatever they say.
pub(super) fn prompt(
    engine: &Engine,
    conversation: &[ChatMessage],
    documents: &[String],
    task: Task,
) -> Result<Stretch, CallError> {
    let (request, before) = conversation.split_last().ok_or(CallError::NoRequest)?;
    tokens(engine, SYSTEM, before, written(&request.content, documents, task)?)
}

/// The prompt for an answer in words: `content` is what the call brought back, or the beginning of it.
pub(super) fn result(
    engine: &Engine,
    conversation: &[ChatMessage],
    call: &str,
    content: &str,
    cut: bool,
) -> Result<Stretch, CallError> {
    let (request, before) = conversation.split_last().ok_or(CallError::NoRequest)?;
    let values = context! { request => request.content.as_str(), call, content, cut };
    let text = Environment::new().render_str(RESULT, values).map_err(CallError::Prompt)?;
    tokens(engine, TELLER, before, text)
}

/// The conversation with one more message of the user, under a system text that the conversation's own is added to.
fn tokens(engine: &Engine, system: &str, before: &[ChatMessage], user: String) -> Result<Stretch, CallError> {
    let message = |role: &str, content: String| ChatMessage { role: role.to_owned(), content };
    let mut system = system.trim_end().to_owned();
    let (others, rest): (Vec<_>, Vec<_>) = before.iter().cloned().partition(|message| message.role == "system");
    others.iter().for_each(|other| system = format!("{system}\n\n{}", other.content));
    let mut messages = vec![message("system", system)];
    messages.extend(rest);
    messages.push(message("user", user));
    Ok(Stretch::opening(engine.template().render_pieces(&messages)?, engine.tokenizer()))
}

fn written(request: &str, documents: &[String], task: Task) -> Result<String, CallError> {
    let documents: Vec<Value> = documents.iter().map(|document| Value::from(document.as_str())).collect();
    let name = if task == Task::Fits { "fits" } else { "call" };
    let values = context! { request, documents, task => name, many => task == Task::Calls };
    Environment::new().render_str(REQUEST, values).map_err(CallError::Prompt)
}
