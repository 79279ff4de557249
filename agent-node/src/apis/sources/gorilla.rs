//! Gorilla's API records: APIBench (arXiv 2305.15334) and the API Zoo.
//!
//! The call of a record is Python text. Its literals become constants of the schema: the card *is* that repository and that
//! model. Expressions (`model.fit(data)`) stay free. The Zoo's calls are examples: arguments that its record documents are
//! free there, too.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{
    Reading, Skipped, names,
    python::{Argument, PythonCall, call},
    text,
};
use crate::apis::{Api, Effect, Notation};

/// Fields that are somewhere else in an [`Api`].
const TAKEN: [&str; 5] = ["api_name", "domain", "description", "hub", "id"];

/// One record a line.
pub(super) fn read(content: &str, file: &str) -> Reading {
    let mut reading = Reading::default();
    let mut seen = BTreeSet::new();
    let mut cards = Vec::new();
    for (line, record) in super::records(content) {
        let place = format!("{file}:{line}");
        match record.and_then(|record| card(&record)) {
            // The same card twice says nothing new.
            Ok(card) if seen.insert(card.identity()) => cards.push(card),
            Ok(_) => {}
            Err(reason) => reading.skipped.push(Skipped { place, reason }),
        }
    }
    let candidates = cards.iter().map(Card::names).collect();
    names::distinct(candidates, |index, name| cards[index].api.name = name);
    reading.apis = cards.into_iter().map(|card| card.api).collect();
    reading
}

/// Whether a record is one of these.
pub(super) fn is_record(record: &Value) -> bool {
    record.get("api_call").is_some_and(Value::is_string)
}

struct Card {
    api: Api,
    call: String,
    /// The constant that tells the card from others of its name best: the last text.
    constant: Option<String>,
}

impl Card {
    fn identity(&self) -> (String, String, String) {
        (self.call.clone(), self.api.domain.clone(), self.api.description.clone())
    }

    /// Names it could have, best first.
    fn names(&self) -> Vec<String> {
        let mut names = vec![self.api.name.clone()];
        names.extend(self.constant.as_ref().map(|constant| format!("{} {constant}", self.api.name)));
        names
    }
}

fn card(record: &Value) -> Result<Card, String> {
    let record = record.as_object().ok_or("it is not a JSON object")?;
    let written = record.get("api_call").and_then(Value::as_str).map(str::trim).filter(|call| !call.is_empty());
    let written = written.ok_or("it has no `api_call`")?;
    let call = call(written).ok_or_else(|| format!("its `api_call` is not a call in Python: {}", shorten(written)))?;
    let is_zoo = record.contains_key("api_version") || record.contains_key("user_name");
    let documented = documented(record.get("api_arguments"));
    let constant =
        call.keywords.iter().map(|(_, value)| value).chain(&call.positional).filter_map(constant).next_back();
    let field = |name: &str| record.get(name).map(text).unwrap_or_default();
    let description = match field("description") {
        empty if empty.is_empty() => field("functionality"),
        description => description,
    };
    let details = record.iter().filter(|(key, value)| !TAKEN.contains(&key.as_str()) && !value.is_null());
    let (callee, positional, parameters) = schema(call, &documented, is_zoo);
    let name = match field("api_name") {
        empty if empty.is_empty() => callee.clone(),
        name => name,
    };
    let api = Api {
        name,
        description,
        domain: field("domain"),
        parameters,
        notation: Notation::Python { callee, positional },
        binding: None,
        effect: Effect::Irreversible,
        details: details.map(|(key, value)| (key.clone(), value.clone())).collect(),
    };
    Ok(Card { api, call: written.to_owned(), constant })
}

fn constant(argument: &Argument) -> Option<String> {
    match argument {
        Argument::Literal(Value::String(text)) => Some(text.clone()),
        _ => None,
    }
}

/// Arguments that a record describes, and how; other shapes of `api_arguments` name no argument reliably.
fn documented(arguments: Option<&Value>) -> Map<String, Value> {
    match arguments {
        Some(Value::Object(arguments)) => arguments.clone(),
        Some(Value::Array(arguments)) => {
            let named = |argument: &Value| Some((argument.get("name")?.as_str()?.to_owned(), argument.clone()));
            arguments.iter().filter_map(named).collect()
        }
        _ => Map::new(),
    }
}

/// The callee, the parameters that are written without names, and the schema of all.
fn schema(call: PythonCall, documented: &Map<String, Value>, is_zoo: bool) -> (String, Vec<String>, Value) {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    let mut positional: Vec<String> = Vec::new();
    let arguments =
        (call.positional.into_iter().enumerate().map(|(index, value)| (format!("arg_{}", index + 1), value, true)))
            .chain(call.keywords.into_iter().map(|(name, value)| (name, value, false)));
    for (name, argument, is_positional) in arguments {
        if is_positional {
            positional.push(name.clone());
        }
        let (property, is_required) = match argument {
            Argument::Literal(value) if is_zoo && documented.contains_key(&name) => {
                let mut property = Map::from_iter([("type".to_owned(), type_of(&value).into())]);
                property.insert("description".to_owned(), text(&documented[&name]).into());
                property.insert("examples".to_owned(), json!([value]));
                (property, is_positional)
            }
            Argument::Literal(value) => (Map::from_iter([("const".to_owned(), value)]), true),
            Argument::Expression(expression) => {
                let said = documented.get(&name).map(text).unwrap_or_default();
                let description = format!("{said} (a Python expression, such as {expression})").trim().to_owned();
                (
                    Map::from_iter([
                        ("type".to_owned(), "string".into()),
                        ("description".to_owned(), description.into()),
                    ]),
                    is_positional,
                )
            }
        };
        if is_required {
            required.push(Value::from(name.as_str()));
        }
        properties.insert(name, property.into());
    }
    let schema =
        json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false});
    (call.callee, positional, schema)
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_fixes_its_literals_and_leaves_its_variables_free() {
        let line = r#"{"domain":"D","api_name":"fit","api_call":"m.fit(data, 'x', epochs=3, out=path)","api_arguments":["data"],"description":"Fits."}"#;
        let reading = read(line, "f");
        let api = &reading.apis[0];
        assert_eq!(api.parameters["properties"]["arg_2"], json!({"const": "x"}));
        assert_eq!(api.parameters["properties"]["epochs"], json!({"const": 3}));
        assert_eq!(api.parameters["required"], json!(["arg_1", "arg_2", "epochs"]));
        let positional = vec!["arg_1".to_owned(), "arg_2".to_owned()];
        assert_eq!(api.notation, Notation::Python { callee: "m.fit".to_owned(), positional });
    }

    #[test]
    fn an_argument_that_the_zoo_documents_is_free() {
        let line = r#"{"user_name":"u","api_name":"n","api_call":"s.list(id='me', part='all')","api_arguments":{"id":"[string] whose"},"functionality":"Lists."}"#;
        let api = &read(line, "f").apis[0];
        assert_eq!(api.parameters["properties"]["id"]["type"], "string");
        assert_eq!(api.parameters["properties"]["part"], json!({"const": "all"}));
        assert_eq!((api.description.as_str(), &api.parameters["required"]), ("Lists.", &json!(["part"])));
    }

    #[test]
    fn fields_may_have_any_type_and_bad_records_are_named_by_line() {
        let lines = [
            r#"{"api_name":"a","api_call":"f('1')","domain":["A","B"],"description":null,"performance":3}"#,
            "not json",
            "",
            r#"{"api_name":"a","api_call":"f('2')","api_arguments":null}"#,
            r#"{"api_name":"b"}"#,
            r#"{"api_name":"a","api_call":"f('1')","domain":["A","B"],"description":null}"#,
            r#"{"api_name":"a","api_call":"f('2')","description":"another"}"#,
        ];
        let reading = read(&lines.join("\n"), "f");
        let names: Vec<&str> = reading.apis.iter().map(|api| api.name.as_str()).collect();
        assert_eq!(names, ["a", "a 2", "a 2 (2)"]);
        assert_eq!(reading.apis[0].domain, "A, B");
        let places: Vec<&str> = reading.skipped.iter().map(|skipped| skipped.place.as_str()).collect();
        assert_eq!(places, ["f:2", "f:5"]);
    }
}
