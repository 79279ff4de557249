//! The Berkeley function-calling leaderboard's questions (BFCL; Python categories), and the rules that it checks by.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use synod_models::text::ChatMessage;

use super::{Question, Truth};
use crate::apis::{Api, Call, Effect, Notation, calling::Candidate};

/// A line of a file of questions.
#[derive(Debug, Deserialize)]
pub struct Row {
    id: String,
    question: Vec<Vec<ChatMessage>>,
    function: Vec<Function>,
    /// Beside the question, or in a file of its own.
    #[serde(default)]
    ground_truth: Vec<Map<String, Value>>,
}

#[derive(Debug, Deserialize)]
struct Function {
    name: String,
    #[serde(default)]
    description: String,
    parameters: Value,
}

/// The question of a row; `answers` are those of a file of answers, where the row has none.
///
/// # Errors
/// It has several turns, or types of another language than Python.
pub fn question(row: Row, answers: Option<Vec<Map<String, Value>>>) -> Result<Question, String> {
    let category = row.id.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-').trim_end_matches('_').to_owned();
    let [conversation] = <[_; 1]>::try_from(row.question)
        .map_err(|turns| format!("{}: {} turns; questions of one turn can be asked", row.id, turns.len()))?;
    let truth = match &category {
        category if category.contains("irrelevance") => Truth::NoCall,
        category if category.contains("relevance") => Truth::AnyCall,
        _ => Truth::Calls(accepted(answers.unwrap_or(row.ground_truth))),
    };
    let candidates = row.function.into_iter().map(|function| Candidate { api: Arc::new(api(function)), prior: 0.0 });
    let candidates = candidates.collect();
    Ok(Question { id: row.id, category, conversation, candidates, truth })
}

/// Each call's name and accepted values.
fn accepted(answers: Vec<Map<String, Value>>) -> Vec<(String, Map<String, Value>)> {
    let call = |(name, values): (String, Value)| Some((name, values.as_object()?.clone()));
    answers.into_iter().flatten().filter_map(call).collect()
}

fn api(function: Function) -> Api {
    Api {
        name: function.name,
        description: function.description,
        domain: String::new(),
        parameters: schema(&function.parameters),
        notation: Notation::Json,
        binding: None,
        effect: Effect::Read,
        details: Map::new(),
    }
}

/// Their types as JSON schema's; what else their schemas have stays.
fn schema(theirs: &Value) -> Value {
    let Value::Object(members) = theirs else { return theirs.clone() };
    let member = |(key, value): (&String, &Value)| {
        let value = match (key.as_str(), value) {
            ("type", Value::String(name)) => json!(type_name(name)),
            ("properties", Value::Object(all)) => {
                Value::Object(all.iter().map(|(name, one)| (name.clone(), schema(one))).collect())
            }
            ("items", value) => schema(value),
            (_, value) => value.clone(),
        };
        (key.clone(), value)
    };
    // Their `format` says how to read a text, in words.
    Value::Object(members.iter().filter(|(key, _)| *key != "format").map(member).collect())
}

fn type_name(theirs: &str) -> &str {
    match theirs {
        "dict" => "object",
        "float" => "number",
        "tuple" | "list" => "array",
        "any" => "string",
        same => same,
    }
}

/// Python's names of the types of JSON values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Nothing,
    Bool,
    Int,
    Float,
    Str,
    List,
    Dict,
}

impl Kind {
    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Nothing,
            Value::Bool(_) => Self::Bool,
            Value::Number(number) if number.is_f64() => Self::Float,
            Value::Number(_) => Self::Int,
            Value::String(_) => Self::Str,
            Value::Array(_) => Self::List,
            Value::Object(_) => Self::Dict,
        }
    }

    fn of_schema(schema: &Value) -> Self {
        match schema.get("type").and_then(Value::as_str) {
            Some("boolean") => Self::Bool,
            Some("integer") => Self::Int,
            Some("number") => Self::Float,
            Some("array") => Self::List,
            Some("object") => Self::Dict,
            _ => Self::Str,
        }
    }

    /// Of the first accepted value that is not "may be left out".
    fn of_accepted(accepted: &[Value]) -> Option<Self> {
        accepted.iter().find(|value| **value != json!("")).map(Self::of)
    }
}

/// Whether calls are what the leaderboard's checker accepts: as many as there should be, and each one matches one.
#[must_use]
pub fn matches(calls: &[Call], truth: &[(String, Map<String, Value>)], apis: &[&Api]) -> bool {
    let mut left: Vec<&Call> = calls.iter().collect();
    calls.len() == truth.len()
        && truth.iter().all(|(name, accepted)| {
            let api = apis.iter().find(|api| api.name == *name);
            let found = left.iter().position(|call| api.is_some_and(|api| call_matches(call, api, accepted)));
            found.map(|index| left.remove(index)).is_some()
        })
}

fn call_matches(call: &Call, api: &Api, accepted: &Map<String, Value>) -> bool {
    let properties = &api.parameters["properties"];
    let required = api.parameters["required"].as_array();
    let given = |name: &str| call.arguments.contains_key(name);
    let values = |name: &str| accepted.get(name).and_then(Value::as_array);
    let argument = |(name, value): (&String, &Value)| {
        let (Some(schema), Some(accepted)) = (properties.get(name), values(name)) else { return false };
        argument_matches(value, schema, accepted)
    };
    let may_be_left = |name: &String| values(name).is_some_and(|values| values.contains(&json!("")));
    call.api == api.name
        && required.into_iter().flatten().filter_map(Value::as_str).all(given)
        && call.arguments.iter().all(argument)
        && accepted.keys().all(|name| given(name) || may_be_left(name))
}

fn argument_matches(value: &Value, schema: &Value, accepted: &[Value]) -> bool {
    let (wanted, listed) = (Kind::of_schema(schema), Kind::of_accepted(accepted));
    let nested = (wanted == Kind::List).then(|| Kind::of_schema(&schema["items"]));
    let mut kind = Kind::of(value);
    if (kind, wanted) == (Kind::Int, Kind::Float) {
        kind = Kind::Float;
    }
    // A value of another type than the document's, but of the listed answer's, stands for a variable.
    if kind != wanted {
        return Some(kind) == listed && accepted.iter().any(|one| equal(value, one));
    }
    if let (Some(nested), Value::Array(items)) = (nested, value)
        && !accepted.iter().any(|one| items_fit(items, one, nested))
    {
        return false;
    }
    let exact = |value: &Value| accepted.iter().any(|one| equal(value, one));
    if listed.is_some_and(|listed| listed != wanted) {
        return exact(value);
    }
    match value {
        Value::Object(members) => accepted.iter().any(|one| members_match(members, one)),
        Value::Array(items) if nested == Some(Kind::Dict) => accepted.iter().any(|one| all_match(items, one)),
        Value::String(_) => accepted.iter().any(|one| one.is_string() && normal(one) == normal(value)),
        Value::Array(_) => accepted.iter().any(|one| one.is_array() && equal(&each_normal(one), &each_normal(value))),
        _ => exact(value),
    }
}

/// Whether a list's items have the type of the document, or of the accepted list's.
fn items_fit(items: &[Value], accepted: &Value, nested: Kind) -> bool {
    let Value::Array(accepted) = accepted else { return true };
    items.iter().all(|item| Kind::of(item) == nested || Some(Kind::of(item)) == Kind::of_accepted(accepted))
}

/// Whether a dictionary has accepted values for all of its keys, and all keys that must be there.
fn members_match(members: &Map<String, Value>, accepted: &Value) -> bool {
    let Value::Object(accepted) = accepted else { return false };
    let values = |key: &str| accepted.get(key).and_then(Value::as_array);
    let is_accepted = |(key, value): (&String, &Value)| {
        values(key).is_some_and(|values| values.iter().any(|one| equal(&normal(one), &normal(value))))
    };
    let may_be_left = |key: &String| values(key).is_some_and(|values| values.contains(&json!("")));
    members.iter().all(is_accepted) && accepted.keys().all(|key| members.contains_key(key) || may_be_left(key))
}

/// The same of a list of dictionaries, in order.
fn all_match(items: &[Value], accepted: &Value) -> bool {
    let Value::Array(accepted) = accepted else { return false };
    let pair = |(item, accepted): (&Value, &Value)| item.as_object().is_some_and(|item| members_match(item, accepted));
    items.len() == accepted.len() && items.iter().zip(accepted).all(pair)
}

/// Texts without what people write differently.
fn normal(value: &Value) -> Value {
    match value {
        Value::String(text) => {
            let kept = text.chars().filter(|c| !" ,./-_*^".contains(*c));
            json!(kept.collect::<String>().to_lowercase().replace('\'', "\""))
        }
        other => other.clone(),
    }
}

fn each_normal(list: &Value) -> Value {
    list.as_array().into_iter().flatten().map(normal).collect()
}

/// Python's `==`: numbers by value, truth values among them.
fn equal(a: &Value, b: &Value) -> bool {
    let number = |value: &Value| value.as_f64().or(value.as_bool().map(|truth| f64::from(u8::from(truth))));
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        _ => match (number(a), number(b)) {
            (Some(a), Some(b)) => a == b,
            _ => a == b,
        },
    }
}
