//! An API's document as a model reads it: short, the same bytes every time, what decides a choice first.

use std::fmt::Write;

use serde_json::Value;

use crate::apis::Api;

/// Characters of a description that are shown; what follows is seldom about what the API does.
const MAX_DESCRIPTION: usize = 600;
/// Characters of any other text.
const MAX_TEXT: usize = 240;
/// Objects within objects that are shown argument by argument.
const MAX_DEPTH: usize = 3;
/// Arguments of an object that are shown.
const MAX_ARGUMENTS: usize = 64;

/// The document's text.
pub(crate) fn document(api: &Api) -> String {
    let mut text = format!("name: {}\n", api.name);
    let functionality = api.details.get("functionality").and_then(Value::as_str).unwrap_or_default();
    for (key, value, most) in [
        ("domain", api.domain.as_str(), MAX_TEXT),
        ("functionality", functionality, MAX_TEXT),
        ("description", api.description.as_str(), MAX_DESCRIPTION),
    ] {
        if !value.trim().is_empty() {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{key}: {}", line(value, most));
        }
    }
    text.push_str("arguments:");
    let before = text.len();
    arguments(&mut text, &api.parameters, 0);
    if text.len() == before {
        text.push_str(" none");
    }
    text
}

/// A line for each argument that a caller chooses: what the document fixes is written for the model, which need not read it.
fn arguments(text: &mut String, schema: &Value, depth: usize) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    let open = properties.iter().filter(|(_, schema)| schema.get("const").is_none());
    for (name, property) in open.take(MAX_ARGUMENTS) {
        let need = if is_required(schema, name) { "required" } else { "optional" };
        let _ = write!(text, "\n{}- {name} ({}, {need}", "  ".repeat(depth), kind(property));
        for (key, told) in [("enum", "one of "), ("default", "default "), ("format", "")] {
            if let Some(value) = property.get(key) {
                let _ = write!(text, ", {told}{}", line(&plain(value), MAX_TEXT));
            }
        }
        text.push(')');
        if let Some(description) = property.get("description").and_then(Value::as_str) {
            let _ = write!(text, ": {}", line(description, MAX_TEXT));
        }
        if depth + 1 < MAX_DEPTH {
            arguments(text, property.get("items").unwrap_or(property), depth + 1);
        }
    }
}

/// Whether an object's schema requires a property.
pub(crate) fn is_required(schema: &Value, name: &str) -> bool {
    let names = schema.get("required").and_then(Value::as_array);
    names.is_some_and(|names| names.iter().any(|one| one == name))
}

fn kind(schema: &Value) -> String {
    match schema.get("type") {
        Some(Value::String(name)) if name == "array" => match schema.get("items").map(kind) {
            Some(items) => format!("array of {items}"),
            None => "array".to_owned(),
        },
        Some(Value::String(name)) => name.clone(),
        Some(Value::Array(kinds)) => kinds.iter().map(plain).collect::<Vec<_>>().join(" or "),
        _ => "any".to_owned(),
    }
}

/// A value as text: strings bare, everything else as JSON.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Text on one line, cut at a word where it is longer than `most` characters.
fn line(text: &str, most: usize) -> String {
    let mut short = String::new();
    for word in text.split_whitespace() {
        if short.len() + word.len() > most {
            short.push('…');
            break;
        }
        if !short.is_empty() {
            short.push(' ');
        }
        short.push_str(word);
    }
    short
}
