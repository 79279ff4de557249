//! `synod apis call QUERY`

use clap::Args;
use serde::Serialize;
use serde_json::{Map, Value};
use synod_agent_node::apis::{
    Call, Hit, Library, Retriever,
    calling::{Answered, CallOptions, Decision, Outcome, Retrieval, answer, render},
};
use synod_models::{store::Store, text::ChatMessage};

use super::Context;
use crate::{cli::models::open, exit::Failure};

const EXAMPLES: &str = "\
Examples:
  synod apis call 'Which API finds cars in a video?' --catalogue torchhub
  synod apis call 'Add a task to buy milk' --json | jq .call.arguments";

/// Turn a request in words into a call of an API
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CallCommand {
    /// What is wanted, in words
    query: String,
    /// Look only in these catalogues
    #[arg(long = "catalogue", value_name = "NAME")]
    catalogues: Vec<String>,
    /// How many documents to look at
    #[arg(long, value_name = "N", default_value_t = 5)]
    top_k: usize,
    /// How documents are found
    #[arg(long, value_name = "HOW", default_value = "hybrid", value_parser = super::retriever())]
    retriever: Retriever,
    /// The most calls
    #[arg(long, value_name = "N", default_value_t = 1)]
    max_calls: usize,
    /// Which model calls
    #[arg(long, value_name = "NAME", default_value = "qwen2.5-coder-1.5b-instruct")]
    model: String,
    #[command(flatten)]
    device: open::DeviceFlag,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Printed {
    call: Option<PrintedCall>,
    /// Where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    calls: Vec<PrintedCall>,
    missing: Vec<String>,
    retrieved: Vec<Retrieved>,
    confidence: f64,
    prompt_tokens: usize,
    completion_tokens: usize,
    ms: u64,
}

#[derive(Serialize, Clone)]
struct PrintedCall {
    api: String,
    arguments: Map<String, Value>,
    rendered: String,
}

#[derive(Serialize)]
struct Retrieved {
    api: String,
    score: f32,
}

pub(super) fn run(call: &CallCommand, library: &Library, store: &Store, context: &Context) -> Result<(), Failure> {
    let engine = open::engine(store, &call.model, 0, call.device, context)?;
    let conversation = [ChatMessage { role: "user".to_owned(), content: call.query.clone() }];
    let retrieval = Retrieval { catalogues: call.catalogues.clone(), retriever: call.retriever, top_k: call.top_k };
    let options = CallOptions { max_calls: call.max_calls, ..CallOptions::standard() };
    let answered = answer(library, &retrieval, &engine, &conversation, &options).map_err(open::unusable)?;
    if call.json { context.output.json(&printed(answered)) } else { context.output.text(&said(&answered)) }
}

fn printed(answered: Answered) -> Printed {
    let Answered { retrieved, outcome, ms } = answered;
    let Outcome { decision, confidence, spent, .. } = outcome;
    let (mut calls, mut missing) = (Vec::new(), Vec::new());
    match decision {
        Decision::Calls(all) => calls = all.into_iter().map(|call| of(call, &retrieved)).collect(),
        Decision::Missing { arguments, .. } => missing = arguments,
        Decision::NoCall => {}
    }
    let first = calls.first().cloned();
    if calls.len() < 2 {
        calls.clear();
    }
    let retrieved = retrieved.iter().map(|hit| Retrieved { api: hit.api.name.clone(), score: hit.score }).collect();
    let (prompt_tokens, completion_tokens) = (spent.prompt_tokens, spent.completion_tokens);
    Printed { call: first, calls, missing, retrieved, confidence, prompt_tokens, completion_tokens, ms }
}

fn of(call: Call, retrieved: &[Hit]) -> PrintedCall {
    PrintedCall { rendered: rendered(&call, retrieved), api: call.api, arguments: call.arguments }
}

fn rendered(call: &Call, retrieved: &[Hit]) -> String {
    let hit = retrieved.iter().find(|hit| hit.api.name == call.api);
    hit.map_or_else(|| call.api.clone(), |hit| render(call, &hit.api))
}

fn said(answered: &Answered) -> String {
    let Answered { retrieved, outcome, .. } = answered;
    match &outcome.decision {
        Decision::NoCall => "none of the APIs that were found fits".to_owned(),
        Decision::Missing { api, arguments } => format!("{api} fits; say its {}", arguments.join(", ")),
        Decision::Calls(calls) => calls.iter().map(|call| rendered(call, retrieved)).collect::<Vec<_>>().join("\n"),
    }
}
