//! What is told of an evaluation.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use super::{Question, Truth, bfcl};
use crate::apis::{
    Api,
    calling::{CallError, Decision, Judged, Outcome, render},
};

/// How an answer did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Right,
    /// A call, and not the right one.
    WrongApi,
    /// The right API with other arguments, or more or fewer calls.
    WrongArguments,
    /// It called, and should not have.
    Called,
    /// It said that nothing fits, and something does.
    Abstained,
    /// It asked for arguments that the question has.
    Asked,
    /// The answer was none.
    Unparseable,
    /// A call of what is not in the catalogue.
    Hallucinated,
}

/// One question's answer.
#[derive(Debug, Clone, Serialize)]
pub struct Item {
    /// Which question.
    pub id: String,
    /// Its group.
    pub category: String,
    /// How it did.
    pub verdict: Verdict,
    /// What was written, or why nothing was.
    pub answer: String,
    /// Whether the called API is of the right domain, where questions have one.
    pub right_domain: bool,
    /// Whether a right API was among the documents.
    pub recalled: bool,
    /// The probability of the choice.
    pub confidence: f64,
    /// What was thought of each document.
    pub judged: Vec<Judged>,
    /// Tokens computed for it.
    pub prompt_tokens: usize,
    /// Tokens written for it.
    pub completion_tokens: usize,
    /// How long it took, beside others that were asked at the same time.
    pub ms: u64,
}

/// All questions of a group.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Summary {
    /// How many.
    pub questions: usize,
    /// How many were right.
    pub right: usize,
    /// As a percentage.
    pub accuracy: f64,
    /// How many chose the right API, whatever the arguments.
    pub right_api: usize,
    /// How many called an API of the right domain.
    pub right_domain: usize,
    /// How many had a right document to look at.
    pub recalled: usize,
    /// How many called what is not in the catalogue.
    pub hallucinated: usize,
    /// How many said that nothing fits.
    pub abstained: usize,
    /// How many asked for arguments.
    pub asked: usize,
    /// How many answers were none.
    pub unparseable: usize,
}

/// An evaluation.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// By group.
    pub categories: BTreeMap<String, Summary>,
    /// One a question, in the order of the file.
    pub items: Vec<Item>,
    /// For all of them.
    pub seconds: f64,
}

impl Report {
    /// Counts.
    #[must_use]
    pub fn new(items: Vec<Item>, seconds: f64) -> Self {
        let mut categories: BTreeMap<String, Summary> = BTreeMap::new();
        for Item { category, verdict, right_domain, recalled, .. } in &items {
            let summary = categories.entry(category.clone()).or_default();
            let counted = |is| usize::from(*verdict == is);
            summary.questions += 1;
            summary.right += counted(Verdict::Right);
            summary.right_api += counted(Verdict::Right) + counted(Verdict::WrongArguments);
            summary.right_domain += usize::from(*right_domain);
            summary.recalled += usize::from(*recalled);
            summary.hallucinated += counted(Verdict::Hallucinated);
            summary.asked += counted(Verdict::Asked);
            summary.unparseable += counted(Verdict::Unparseable);
            summary.abstained += counted(Verdict::Abstained);
            summary.accuracy = (summary.right * 1000 / summary.questions) as f64 / 10.0;
        }
        Self { categories, items, seconds }
    }
}

/// What a question's outcome is worth.
pub(super) fn item(question: &Question, outcome: Result<Outcome, CallError>, took: Duration) -> Item {
    let apis: Vec<&Api> = question.candidates.iter().map(|candidate| &*candidate.api).collect();
    let (id, category) = (question.id.clone(), question.category.clone());
    let recalled = match &question.truth {
        Truth::OneOf { exact, .. } => apis.iter().any(|api| exact.contains(&api.name)),
        _ => true,
    };
    let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    match outcome {
        Ok(outcome) => Item {
            id,
            category,
            verdict: verdict(&outcome.decision, &question.truth, &apis),
            answer: said(&outcome.decision, &apis),
            right_domain: is_of_domain(&outcome.decision, &question.truth),
            recalled,
            confidence: outcome.confidence,
            judged: outcome.judged,
            prompt_tokens: outcome.spent.prompt_tokens,
            completion_tokens: outcome.spent.completion_tokens,
            ms,
        },
        Err(error) => Item {
            id,
            category,
            verdict: if matches!(error, CallError::UnknownApi { .. }) {
                Verdict::Hallucinated
            } else {
                Verdict::Unparseable
            },
            answer: error.to_string(),
            right_domain: false,
            recalled,
            confidence: 0.0,
            judged: Vec::new(),
            prompt_tokens: 0,
            completion_tokens: 0,
            ms,
        },
    }
}

fn verdict(decision: &Decision, truth: &Truth, apis: &[&Api]) -> Verdict {
    let calls = match (decision, truth) {
        (Decision::Calls(_), Truth::NoCall) => return Verdict::Called,
        (_, Truth::NoCall) => return Verdict::Right,
        (Decision::NoCall, _) => return Verdict::Abstained,
        (Decision::Missing { .. }, _) => return Verdict::Asked,
        (Decision::Calls(calls), _) => calls,
    };
    let mut names: Vec<&str> = calls.iter().map(|call| call.api.as_str()).collect();
    names.sort_unstable();
    match truth {
        Truth::NoCall | Truth::AnyCall => Verdict::Right,
        Truth::OneOf { exact, .. } if names.iter().all(|name| exact.contains(*name)) => Verdict::Right,
        Truth::OneOf { .. } => Verdict::WrongApi,
        Truth::Calls(truth) if bfcl::matches(calls, truth, apis) => Verdict::Right,
        Truth::Calls(truth) => {
            let mut wanted: Vec<&str> = truth.iter().map(|(name, _)| name.as_str()).collect();
            wanted.sort_unstable();
            let same = wanted.iter().all(|name| names.contains(name)) && names.iter().all(|name| wanted.contains(name));
            if same { Verdict::WrongArguments } else { Verdict::WrongApi }
        }
    }
}

fn is_of_domain(decision: &Decision, truth: &Truth) -> bool {
    match (decision, truth) {
        (Decision::Calls(calls), Truth::OneOf { domain, .. }) => calls.iter().all(|call| domain.contains(&call.api)),
        _ => false,
    }
}

/// The decision in one line.
fn said(decision: &Decision, apis: &[&Api]) -> String {
    match decision {
        Decision::NoCall => "no call".to_owned(),
        Decision::Missing { api, arguments } => format!("missing for {api}: {}", arguments.join(", ")),
        Decision::Calls(calls) => {
            let rendered = calls.iter().map(|call| {
                let api = apis.iter().find(|api| api.name == call.api);
                api.map_or_else(|| call.api.clone(), |api| render(call, api))
            });
            rendered.collect::<Vec<_>>().join("; ")
        }
    }
}
