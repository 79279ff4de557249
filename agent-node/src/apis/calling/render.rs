//! Calls written out as their documents write them.

use serde_json::{Value, json};

use crate::apis::{Api, Call, Notation};

/// The call as text: Python or JSON, by the API's notation.
#[must_use]
pub fn render(call: &Call, api: &Api) -> String {
    match &api.notation {
        Notation::Json => json!({"name": call.api, "arguments": call.arguments}).to_string(),
        Notation::Python { callee, positional } => {
            let by_place = positional.iter().filter_map(|name| call.arguments.get(name)).map(python);
            let named = call.arguments.iter().filter(|(name, _)| !positional.contains(name));
            let named = named.map(|(name, value)| format!("{name}={}", python(value)));
            format!("{callee}({})", by_place.chain(named).collect::<Vec<_>>().join(", "))
        }
    }
}

/// A value as a Python literal.
fn python(value: &Value) -> String {
    let list = |items: Vec<String>| items.join(", ");
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => quoted(text),
        Value::Array(items) => format!("[{}]", list(items.iter().map(python).collect())),
        Value::Object(members) => {
            let each = members.iter().map(|(key, value)| format!("{}: {}", quoted(key), python(value)));
            format!("{{{}}}", list(each.collect()))
        }
    }
}

/// A string in single quotes, as documents write them; nothing in it ends it.
fn quoted(text: &str) -> String {
    let mut literal = String::from("'");
    for c in text.chars() {
        match c {
            '\'' | '\\' => literal.extend(['\\', c]),
            '\n' => literal.push_str("\\n"),
            '\r' => literal.push_str("\\r"),
            '\t' => literal.push_str("\\t"),
            c if c.is_control() => literal.push_str(&format!("\\u{:04x}", c as u32)),
            c => literal.push(c),
        }
    }
    literal + "'"
}
