//! The steps of a run as spans of `tracing`: run → stage → seat → call, and within the call what its node did.
//!
//! They say who, how much and how long; what was asked and answered only where somebody wants to see it ([`show_texts`]).
//! Without a layer that collects [`TARGET`] they cost next to nothing and are nowhere to be seen.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use serde_json::json;
use tracing::{Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::{
    Parent,
    names::{attribute, span},
};

/// The target of all of them: what collectors collect, and what logs leave out.
pub const TARGET: &str = "synod::span";

const PROVIDER: &str = "synod";

/// Whether spans show what people and models wrote.
static TEXTS: AtomicBool = AtomicBool::new(false);

/// From now on spans of this process show what people and models wrote.
pub fn show_texts() {
    TEXTS.store(true, Relaxed);
}

/// What a call cost.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tokens {
    /// Read.
    pub input: u32,
    /// Of these from a cache.
    pub cached: u32,
    /// Written.
    pub output: u32,
}

/// A run through a topology; part of `parent`, or else of the span that it begins in.
pub fn workflow(topology: &str, run_id: &str, parent: &Parent) -> Span {
    let name = format!("{} {topology}", span::WORKFLOW);
    let span = info_span!(target: TARGET, span::WORKFLOW, otel.name = name, otel.kind = "internal");
    parent.adopt(&span);
    operation(&span, span::WORKFLOW);
    span.set_attribute(attribute::WORKFLOW, topology.to_owned());
    span.set_attribute(attribute::RUN, run_id.to_owned());
    span
}

/// A stage of the run that it begins in.
pub fn stage(index: usize, kind: &'static str) -> Span {
    let name = format!("{} {index} {kind}", span::STAGE);
    let span = info_span!(target: TARGET, span::STAGE, otel.name = name, otel.kind = "internal");
    span.set_attribute(attribute::STAGE, index as i64);
    span.set_attribute(attribute::STAGE_KIND, kind);
    span
}

/// A seat of the stage that it begins in.
pub fn agent(model: &str, stage: usize, seat: usize) -> Span {
    let name = format!("{} {model}", span::AGENT);
    let span = info_span!(target: TARGET, span::AGENT, otel.name = name, otel.kind = "internal");
    operation(&span, span::AGENT);
    span.set_attribute(attribute::AGENT, model.to_owned());
    span.set_attribute(attribute::MODEL, model.to_owned());
    span.set_attribute(attribute::STAGE, stage as i64);
    span.set_attribute(attribute::SEAT, seat as i64);
    span
}

/// A call of the seat that it begins in to a node.
pub fn call(model: &str, node: &str) -> Span {
    let name = format!("{} {model}", span::CHAT);
    to_node(info_span!(target: TARGET, span::CHAT, otel.name = name, otel.kind = "client"), span::CHAT, model, node)
}

/// A call as the node sees it, part of the caller's `parent`.
pub fn served(model: &str, parent: &Parent) -> Span {
    let name = format!("{} {model}", span::CHAT);
    for_caller(
        info_span!(target: TARGET, span::CHAT, otel.name = name, otel.kind = "server"),
        span::CHAT,
        model,
        parent,
    )
}

/// A call of the run or request that it begins in to a node, for embeddings.
pub fn embedding_call(model: &str, node: &str) -> Span {
    let name = format!("{} {model}", span::EMBEDDINGS);
    let asked = info_span!(target: TARGET, span::EMBEDDINGS, otel.name = name, otel.kind = "client");
    to_node(asked, span::EMBEDDINGS, model, node)
}

/// The same as whoever serves it sees it, part of the caller's `parent`.
pub fn embedding_served(model: &str, parent: &Parent) -> Span {
    let name = format!("{} {model}", span::EMBEDDINGS);
    let asked = info_span!(target: TARGET, span::EMBEDDINGS, otel.name = name, otel.kind = "server");
    for_caller(asked, span::EMBEDDINGS, model, parent)
}

fn to_node(span: Span, name: &'static str, model: &str, node: &str) -> Span {
    operation(&span, name);
    span.set_attribute(attribute::MODEL, model.to_owned());
    span.set_attribute(attribute::NODE, node.to_owned());
    span
}

fn for_caller(span: Span, name: &'static str, model: &str, parent: &Parent) -> Span {
    parent.adopt(&span);
    operation(&span, name);
    span.set_attribute(attribute::MODEL, model.to_owned());
    span
}

/// It failed, with this code.
pub fn failed(span: &Span, code: impl Into<opentelemetry::Value>) {
    span.set_attribute(attribute::ERROR, code);
    // Messages of errors stay in logs and records.
    span.set_status(opentelemetry::trace::Status::error(""));
}

/// It ended for this reason, at this price.
pub fn finished(span: &Span, finish_reason: &'static str, tokens: Tokens) {
    let reasons = opentelemetry::Array::String(vec![finish_reason.into()]);
    span.set_attribute(attribute::FINISH_REASONS, opentelemetry::Value::Array(reasons));
    span.set_attribute(attribute::INPUT_TOKENS, i64::from(tokens.input));
    span.set_attribute(attribute::CACHED_TOKENS, i64::from(tokens.cached));
    span.set_attribute(attribute::OUTPUT_TOKENS, i64::from(tokens.output));
}

/// What was asked, as roles and texts, and answered; nowhere to be seen unless texts are shown.
pub fn exchange(span: &Span, asked: impl FnOnce() -> Vec<(String, String)>, answer: &str, finish_reason: &'static str) {
    if !TEXTS.load(Relaxed) {
        return;
    }
    let parts = |text: &str| json!([{ "type": "text", "content": text }]);
    let message = |(role, text): (String, String)| json!({ "role": role, "parts": parts(&text) });
    let asked: Vec<_> = asked().into_iter().map(message).collect();
    let answered = json!([{ "role": "assistant", "parts": parts(answer), "finish_reason": finish_reason }]);
    span.set_attribute(attribute::INPUT_MESSAGES, json!(asked).to_string());
    span.set_attribute(attribute::OUTPUT_MESSAGES, answered.to_string());
}

/// One more thing of it, under a name of [`attribute`].
pub fn set(span: &Span, name: &'static str, value: impl Into<opentelemetry::Value>) {
    span.set_attribute(name, value);
}

fn operation(span: &Span, operation: &'static str) {
    span.set_attribute(attribute::OPERATION, operation);
    span.set_attribute(attribute::PROVIDER, PROVIDER);
}
