//! Several answers to one request, counted by what they would do: the same call is one vote, however it was written.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

use super::{Decision, document::is_required};
use crate::apis::{Api, Call};

/// One member's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Ballot {
    /// What it would do.
    pub decision: Decision,
    /// The probability of its choice.
    pub confidence: f64,
}

/// What the members decided together.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// The answer of the most confident of those who agree.
    pub decision: Decision,
    /// The share of all confidence that is with them.
    pub confidence: f64,
    /// Members who would do exactly this.
    pub votes: usize,
    /// Whether someone would do something else: where a synthesiser may be asked.
    pub contested: bool,
}

/// Counts ballots: first what kind of answer and which API, then with which arguments. Most votes win, then the highest
/// sum of confidence, then who came first. None without a ballot.
#[must_use]
pub fn vote(ballots: &[Ballot], apis: &[&Api]) -> Option<Verdict> {
    let all: Vec<&Ballot> = ballots.iter().collect();
    let winners = largest(&all, |ballot| choice(&ballot.decision))?;
    let agreeing = largest(&winners, |ballot| wording(&ballot.decision, apis))?;
    let best = agreeing.iter().copied().reduce(|a, b| if b.confidence > a.confidence { b } else { a })?;
    let sum = |ballots: &[&Ballot]| ballots.iter().map(|ballot| ballot.confidence).sum::<f64>();
    Some(Verdict {
        decision: best.decision.clone(),
        confidence: sum(&winners) / sum(&all).max(f64::MIN_POSITIVE),
        votes: agreeing.len(),
        contested: agreeing.len() < ballots.len(),
    })
}

/// The ballots of the largest group with one key.
fn largest<'a>(ballots: &[&'a Ballot], key: impl Fn(&Ballot) -> String) -> Option<Vec<&'a Ballot>> {
    let mut groups: BTreeMap<String, Vec<(usize, &Ballot)>> = BTreeMap::new();
    for (index, &ballot) in ballots.iter().enumerate() {
        groups.entry(key(ballot)).or_default().push((index, ballot));
    }
    let weight = |group: &[(usize, &Ballot)]| group.iter().map(|(_, ballot)| ballot.confidence).sum::<f64>();
    let order = |a: &Vec<(usize, &'a Ballot)>, b: &Vec<(usize, &'a Ballot)>| {
        a.len().cmp(&b.len()).then(weight(a).total_cmp(&weight(b))).then(b[0].0.cmp(&a[0].0))
    };
    let group = groups.into_values().max_by(order)?;
    Some(group.into_iter().map(|(_, ballot)| ballot).collect())
}

/// What kind of answer it is, and of which APIs.
fn choice(decision: &Decision) -> String {
    match decision {
        Decision::NoCall => "none".to_owned(),
        Decision::Missing { api, .. } => format!("missing {api}"),
        Decision::Calls(calls) => {
            let mut names: Vec<&str> = calls.iter().map(|call| call.api.as_str()).collect();
            names.sort_unstable();
            format!("call {names:?}")
        }
    }
}

/// All that it says, in one spelling.
pub(super) fn wording(decision: &Decision, apis: &[&Api]) -> String {
    match decision {
        Decision::NoCall => String::new(),
        Decision::Missing { arguments, .. } => {
            let mut names = arguments.clone();
            names.sort_unstable();
            names.join("\n")
        }
        Decision::Calls(calls) => {
            let mut all: Vec<String> = calls.iter().map(|call| normal(call, apis)).collect();
            all.sort_unstable();
            all.join("\n")
        }
    }
}

/// The call with its arguments sorted, numbers and white space in one spelling, and without optional arguments that have
/// their documented default.
fn normal(call: &Call, apis: &[&Api]) -> String {
    let parameters = apis.iter().find(|api| api.name == call.api).map(|api| &api.parameters);
    let is_default = |name: &str, value: &Value| {
        let default = parameters.and_then(|schema| Some((schema, schema["properties"].get(name)?.get("default")?)));
        default.is_some_and(|(schema, default)| spelled(default) == *value && !is_required(schema, name))
    };
    let mut arguments: Vec<(&String, Value)> =
        call.arguments.iter().map(|(name, value)| (name, spelled(value))).collect();
    arguments.retain(|(name, value)| !is_default(name, value));
    arguments.sort_by_key(|(name, _)| *name);
    format!("{} {arguments:?}", call.api)
}

fn spelled(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.split_whitespace().collect::<Vec<_>>().join(" ")),
        Value::Number(number) => Value::Number(whole(number)),
        Value::Array(items) => items.iter().map(spelled).collect(),
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().map(|(name, value)| (name.clone(), spelled(value))).collect();
            sorted.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(Map::from_iter(sorted))
        }
        other => other.clone(),
    }
}

/// 5.0 is 5.
fn whole(number: &Number) -> Number {
    match number.as_f64() {
        Some(float) if float.fract() == 0.0 && float.abs() < 2f64.powi(53) => Number::from(float as i64),
        _ => number.clone(),
    }
}
