//! `synod runs diff A B`

use std::collections::BTreeSet;

use clap::Args;
use serde::Serialize;
use serde_json::{Map, Value};
use similar::TextDiff;
use synod_aggregator::records::{Called, Record};

use super::{
    Whose,
    compare::{Pair, Sameness, pairs},
    source::Source,
};
use crate::cli::Context;
use crate::exit::Failure;

/// Lines around a change.
const CONTEXT: usize = 2;

/// Show what differs between two runs
#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// A run
    a: String,
    /// Another
    b: String,
    #[command(flatten)]
    whose: Whose,
}

pub(super) async fn run(diff: Diff, context: Context) -> Result<(), Failure> {
    let mut source = Source::open(&diff.whose, &context).await?;
    let (a, b) = (source.get(&diff.a).await?, source.get(&diff.b).await?);
    let said = tell(&a, &b);
    context.output.text(if said.is_empty() { "the same" } else { said.trim_end() })
}

/// What differs, as text; empty for two that are the same but for times.
fn tell(a: &Record, b: &Record) -> String {
    let mut said = String::new();
    let (from, to) = (&a.began, &b.began);
    said += &values("topology", &from.topology.name, &to.topology.name);
    if from.topology.sha256 != to.topology.sha256 {
        said += &texts("topology", &from.topology.text, &to.topology.text);
        if from.topology.text == to.topology.text {
            said += "topology: the text is the same, what it refers to or what the question changed of it is not\n";
        }
    }
    let question = |run: &Record| {
        run.began.question.messages.iter().map(|(role, text)| format!("{role}: {text}\n")).collect::<String>()
    };
    said += &texts("question", &question(a), &question(b));
    said += &fields("sampling", &from.question.sampling, &to.question.sampling);
    said += &values("seed", &from.seed.to_string(), &to.seed.to_string());
    said += &values("prompt texts", &from.prompts, &to.prompts);
    said += &values("build", &from.build, &to.build);
    said += &pairs(a, b).iter().map(pair).collect::<String>();
    for stage in 0..from.stages.len().max(to.stages.len()) {
        said += &texts(&format!("stage {}: decision", stage + 1), &decision(a, stage), &decision(b, stage));
    }
    said + &texts("answer", &answer(a), &answer(b))
}

fn pair(pair: &Pair<'_>) -> String {
    let who = format!("stage {} seat {} ({})", pair.stage + 1, pair.seat + 1, pair.model);
    let (Some(a), Some(b)) = pair.seats else {
        return format!("{who}: only in {}\n", if pair.seats.0.is_some() { "the first" } else { "the second" });
    };
    let mut said = values(&format!("{who}: model"), &a.model, &b.model);
    said += &values(&format!("{who}: lost"), &a.error, &b.error);
    if let (Some(a), Some(b)) = pair.calls {
        said += &fields(&format!("{who}: sampling"), &a.sampling, &b.sampling);
        said += &values(&format!("{who}: model file"), &file(a), &file(b));
    }
    if pair.prompt == Sameness::Differs {
        let prompt = |call: Option<&Called>| call.and_then(|call| call.prompt.as_ref()).map(|prompt| prompt.text());
        let (a, b) = (prompt(pair.calls.0).unwrap_or_default(), prompt(pair.calls.1).unwrap_or_default());
        let told = texts(&format!("{who}: prompt"), &a, &b);
        said += if told.is_empty() { "the same text in other tokens\n" } else { &told };
    }
    said + &texts(&format!("{who}: text"), &a.text, &b.text)
}

/// The model and its chat template.
fn file(call: &Called) -> String {
    let prompt = call.prompt.as_ref();
    prompt.map(|prompt| format!("{} template {}", prompt.model_sha256, prompt.template_sha256)).unwrap_or_default()
}

fn decision(run: &Record, stage: usize) -> String {
    let ended = run.ended.as_ref();
    let end = ended.and_then(|ended| ended.stages.iter().find(|end| end.stage == stage));
    end.map(|end| end.decision.clone()).unwrap_or_default()
}

fn answer(run: &Record) -> String {
    run.ended.as_ref().map(|ended| ended.answer.clone()).unwrap_or_default()
}

/// The fields that differ, in a line.
fn fields(what: &str, a: &impl Serialize, b: &impl Serialize) -> String {
    let read = |value: serde_json::Result<Value>| match value {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    let (a, b) = (read(serde_json::to_value(a)), read(serde_json::to_value(b)));
    let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let show = |value: Option<&Value>| value.filter(|value| !value.is_null()).map_or("–".to_owned(), Value::to_string);
    let both = names.into_iter().map(|name| (name, show(a.get(name)), show(b.get(name))));
    let changed = both.filter(|(_, a, b)| a != b).map(|(name, a, b)| format!("{name} {a} → {b}"));
    let changed = changed.collect::<Vec<_>>().join(", ");
    if changed.is_empty() { changed } else { format!("{what}: {changed}\n") }
}

fn values(what: &str, a: &str, b: &str) -> String {
    let or_none = |text: &str| if text.is_empty() { "–".to_owned() } else { text.to_owned() };
    if a == b { String::new() } else { format!("{what}: {} → {}\n", or_none(a), or_none(b)) }
}

/// A unified diff under a heading; empty where nothing differs.
fn texts(what: &str, a: &str, b: &str) -> String {
    if a == b {
        return String::new();
    }
    // Without a line break at its end the last line would be told to lack one.
    let (a, b) = (format!("{}\n", a.trim_end_matches('\n')), format!("{}\n", b.trim_end_matches('\n')));
    let diff = TextDiff::from_lines(&a, &b);
    format!("{what}\n{}", diff.unified_diff().context_radius(CONTEXT))
}
