//! `synod apis call QUERY`

use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use serde_json::{Map, Value};
use synod_agent_node::apis::{
    Call, Hit, Library, Retriever,
    calling::{self, Answered, CallOptions, Decision, Retrieval, answer, render},
    execute,
};
use synod_models::{engine::Engine, store::Store, text::ChatMessage};

use super::{Context, consent::Consenting, undo};
use crate::{cli::models::open, config::Config, exit::Failure};

const EXAMPLES: &str = "\
Examples:
  synod apis call 'Which API finds cars in a video?' --catalogue torchhub
  synod apis call 'Add a task to buy milk' --json | jq .call.arguments
  synod apis call 'Which notes are there?' --execute       the call is carried out, as far as [apis] allows";

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
    /// Call the best of what was found, even if it may not fit
    #[arg(long)]
    required: bool,
    /// Which model calls
    #[arg(long, value_name = "NAME", default_value = "qwen2.5-coder-1.5b-instruct")]
    model: String,
    #[command(flatten)]
    device: open::DeviceFlag,
    /// Carry the calls out
    #[arg(long)]
    execute: bool,
    /// Carry out even what cannot be taken back
    #[arg(long, requires = "execute")]
    allow_irreversible: bool,
    #[command(flatten)]
    consenting: Consenting,
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
    /// What came of each call, where they were carried out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    outcomes: Vec<execute::Outcome>,
    /// What the model says of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<String>,
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

pub(super) async fn run(
    command: CallCommand,
    library: Arc<Library>,
    store: Store,
    config: &Config,
    context: &Context,
) -> Result<(), Failure> {
    let (command, working) = (Arc::new(command), context.clone());
    let asked = Arc::clone(&command);
    let (engine, answered) = context
        .blocking(move || {
            let engine = open::engine(&store, &asked.model, 0, asked.device, &working)?;
            let answered = answer(&library, &asked.retrieval(), &engine, &asked.conversation(), &asked.options());
            Ok((engine, answered.map_err(open::unusable)?))
        })
        .await?;
    let mut printed = Printed::of(&answered);
    if command.execute {
        let executor = super::executor(config, &context.store(config)?, command.allow_irreversible)?;
        carry_out(&command, &answered, &mut printed, &executor, context).await?;
        tell(&command, engine, &mut printed, context).await?;
    }
    if command.json { context.output.json(&printed) } else { context.output.text(&said(&answered, &printed)) }
}

impl CallCommand {
    fn conversation(&self) -> [ChatMessage; 1] {
        [ChatMessage { role: "user".to_owned(), content: self.query.clone() }]
    }

    fn retrieval(&self) -> Retrieval {
        Retrieval { catalogues: self.catalogues.clone(), retriever: self.retriever, top_k: self.top_k }
    }

    fn options(&self) -> CallOptions {
        CallOptions { max_calls: self.max_calls, required: self.required, ..CallOptions::standard() }
    }
}

/// Carries out the calls, one after the other, each with the consent that it needs.
async fn carry_out(
    command: &CallCommand,
    answered: &Answered,
    printed: &mut Printed,
    executor: &execute::Executor,
    context: &Context,
) -> Result<(), Failure> {
    let Decision::Calls(calls) = &answered.outcome.decision else { return Ok(()) };
    for call in calls {
        let Some(hit) = answered.retrieved.iter().find(|hit| hit.api.name == call.api) else { continue };
        let preview = executor.preview(&hit.api, call).map_err(undo::failure)?;
        let consent = command.consenting.ask(&preview, context).await?;
        let outcome = executor.execute(&hit.api, call, consent).await.map_err(undo::failure)?;
        if let Some(warning) = &outcome.warning {
            context.output.note(warning);
        }
        printed.outcomes.push(outcome);
    }
    Ok(())
}

/// Has the model answer with what the calls brought back.
async fn tell(
    command: &Arc<CallCommand>,
    engine: Engine,
    printed: &mut Printed,
    context: &Context,
) -> Result<(), Failure> {
    if printed.outcomes.is_empty() {
        return Ok(());
    }
    let calls = printed.call.iter().chain(printed.calls.iter().skip(1));
    let rendered = calls.map(|call| call.rendered.as_str()).collect::<Vec<_>>().join("\n");
    let results = printed.outcomes.iter().map(|outcome| outcome.result.to_string()).collect::<Vec<_>>().join("\n");
    let command = Arc::clone(command);
    let saying = move || calling::say(&engine, &command.conversation(), &rendered, &results).map_err(open::unusable);
    let (answer, spent) = context.blocking(saying).await?;
    printed.answer = Some(execute::printable(&answer));
    printed.prompt_tokens += spent.prompt_tokens;
    printed.completion_tokens += spent.completion_tokens;
    Ok(())
}

impl Printed {
    fn of(answered: &Answered) -> Self {
        let Answered { retrieved, outcome, ms } = answered;
        let (mut calls, mut missing) = (Vec::new(), Vec::new());
        match &outcome.decision {
            Decision::Calls(all) => calls = all.iter().map(|call| PrintedCall::of(call, retrieved)).collect(),
            Decision::Missing { arguments, .. } => missing.clone_from(arguments),
            Decision::NoCall => {}
        }
        let call = calls.first().cloned();
        if calls.len() < 2 {
            calls.clear();
        }
        let retrieved = retrieved.iter().map(|hit| Retrieved { api: hit.api.name.clone(), score: hit.score });
        Self {
            call,
            calls,
            missing,
            retrieved: retrieved.collect(),
            confidence: outcome.confidence,
            outcomes: Vec::new(),
            answer: None,
            prompt_tokens: outcome.spent.prompt_tokens,
            completion_tokens: outcome.spent.completion_tokens,
            ms: *ms,
        }
    }
}

impl PrintedCall {
    fn of(call: &Call, retrieved: &[Hit]) -> Self {
        let (api, arguments) = (call.api.clone(), call.arguments.clone());
        Self { rendered: rendered(call, retrieved), api, arguments }
    }
}

fn rendered(call: &Call, retrieved: &[Hit]) -> String {
    let hit = retrieved.iter().find(|hit| hit.api.name == call.api);
    hit.map_or_else(|| call.api.clone(), |hit| render(call, &hit.api))
}

fn said(answered: &Answered, printed: &Printed) -> String {
    let Answered { retrieved, outcome, .. } = answered;
    match &outcome.decision {
        Decision::NoCall => "none of the APIs that were found fits".to_owned(),
        Decision::Missing { api, arguments } => format!("{api} fits; say its {}", arguments.join(", ")),
        Decision::Calls(calls) => {
            let mut lines: Vec<String> = calls.iter().map(|call| rendered(call, retrieved)).collect();
            for outcome in &printed.outcomes {
                lines.push(execute::printable(&format!("→ {}: {}", outcome.status, outcome.result)));
            }
            lines.extend(printed.answer.as_ref().map(|answer| format!("\n{answer}")));
            lines.join("\n")
        }
    }
}
