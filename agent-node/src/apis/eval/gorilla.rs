//! APIBench's questions (Gorilla, arXiv 2305.15334), under two scorers: the strict one, in which the API must be the
//! reference's, and Gorilla's own, in which it must be of the reference's domain.

use std::{collections::BTreeSet, sync::Arc};

use regex::Regex;
use serde::Deserialize;
use serde_json::Value;
use synod_models::text::ChatMessage;

use super::{Question, Truth};
use crate::apis::{Api, Notation};

/// A line of a file of questions.
#[derive(Debug, Deserialize)]
pub struct Row {
    id: String,
    #[serde(default)]
    hub: String,
    question: String,
    api_call: String,
    domain: String,
    #[serde(default)]
    api_name: String,
}

/// The question of a row, without documents.
#[must_use]
pub fn question(row: Row, catalogue: &[Arc<Api>]) -> Question {
    let mut exact: BTreeSet<String> = matching(&row.api_call, catalogue).map(|api| api.name.clone()).collect();
    if exact.is_empty() {
        // A reference that is written otherwise than its card: with other file names, or in other calls.
        let named = |api: &&Arc<Api>| api.name == row.api_name && api.domain == row.domain;
        exact = catalogue.iter().filter(named).map(|api| api.name.clone()).collect();
    }
    let same = |api: &&Arc<Api>| exact.contains(&api.name) || api.domain == row.domain;
    let domain = catalogue.iter().filter(same).map(|api| api.name.clone()).collect();
    let category = if row.hub.is_empty() { "apibench".to_owned() } else { row.hub };
    let conversation = vec![ChatMessage { role: "user".to_owned(), content: row.question }];
    Question { id: row.id, category, conversation, candidates: Vec::new(), truth: Truth::OneOf { exact, domain } }
}

/// The APIs that a reference call is one of: the same callee, and its first two texts among what the document fixes.
fn matching<'a>(reference: &'a str, catalogue: &'a [Arc<Api>]) -> impl Iterator<Item = &'a Arc<Api>> {
    let callee = reference.split('(').next().unwrap_or_default().trim();
    let texts = texts(reference);
    catalogue.iter().filter(move |api| {
        let Notation::Python { callee: own, .. } = &api.notation else { return false };
        let fixed: Vec<&str> = fixed(api).collect();
        own == callee && texts.iter().take(2).all(|text| fixed.contains(&text.as_str()))
    })
}

/// The texts in a call's brackets.
fn texts(call: &str) -> Vec<String> {
    // A constant that is compiled in tests; without it no reference is in the catalogue, which is told.
    let Ok(quoted) = Regex::new(r#""([^"]*)"|'([^']*)'"#) else { return Vec::new() };
    let inner = |found: regex::Captures<'_>| Some(found.get(1).or(found.get(2))?.as_str().to_owned());
    quoted.captures_iter(call).filter_map(inner).collect()
}

/// Texts that an API's document fixes.
fn fixed(api: &Api) -> impl Iterator<Item = &str> {
    let properties = api.parameters.get("properties").and_then(Value::as_object);
    properties.into_iter().flatten().filter_map(|(_, schema)| schema.get("const")?.as_str())
}
