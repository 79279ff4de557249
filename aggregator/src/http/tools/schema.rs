//! Parameters of a tool that is not strict: what of their schema can be enforced. Words that a grammar knows nothing of are
//! left out, which never makes a call of what is none; a strict tool keeps them and is refused.

use serde_json::{Map, Value, json};

/// Keywords that are kept as they are.
const KEPT: [&str; 12] = [
    "enum",
    "const",
    "required",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minItems",
    "maxItems",
    "minLength",
    "maxLength",
    "$ref",
];

/// The schema of an object with its properties and, unless it says so itself, no others.
pub(super) fn relaxed(schema: &Value) -> Value {
    let Value::Object(members) = schema else { return json!({}) };
    let mut kept = Map::new();
    for (key, value) in members {
        let (key, value) = match key.as_str() {
            "type" => ("type", kind(value)),
            "properties" | "$defs" | "definitions" => (key.as_str(), Some(named(value))),
            "items" | "additionalProperties" if value.is_boolean() => (key.as_str(), Some(value.clone())),
            "items" | "additionalProperties" => (key.as_str(), Some(relaxed(value))),
            "anyOf" | "oneOf" => ("anyOf", Some(value.as_array().into_iter().flatten().map(relaxed).collect())),
            key => (key, KEPT.contains(&key).then(|| value.clone())),
        };
        kept.extend(value.map(|value| (key.to_owned(), value)));
    }
    if kept.contains_key("properties") {
        kept.entry("additionalProperties").or_insert(Value::Bool(false));
        kept.entry("type").or_insert(json!("object"));
    }
    Value::Object(kept)
}

fn named(schemas: &Value) -> Value {
    let schemas = schemas.as_object().into_iter().flatten();
    Value::Object(schemas.map(|(name, schema)| (name.clone(), relaxed(schema))).collect())
}

/// The type, where it is one of JSON schema's, or what other languages call it.
fn kind(value: &Value) -> Option<Value> {
    let known = |name: &str| {
        Some(match name {
            "string" | "number" | "integer" | "boolean" | "array" | "object" | "null" => name.to_owned(),
            "dict" => "object".to_owned(),
            "float" => "number".to_owned(),
            "tuple" | "list" => "array".to_owned(),
            _ => return None,
        })
    };
    match value {
        Value::String(name) => known(name).map(Value::String),
        Value::Array(names) => {
            let names: Option<Vec<Value>> = names.iter().map(|name| known(name.as_str()?).map(Value::String)).collect();
            names.map(Value::Array)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_enforced_is_left_out_and_the_rest_kept() {
        let schema = json!({
            "type": "dict",
            "properties": {
                "base": {"type": "integer", "description": "how long", "optional": true},
                "unit": {"type": "string", "enum": ["m", "ft"], "format": "unit"},
                "tags": {"type": "tuple", "items": {"type": "any"}, "uniqueItems": true},
                "either": {"oneOf": [{"type": "float"}, {"type": "null"}]},
            },
            "required": ["base"],
        });
        let expected = json!({
            "type": "object",
            "properties": {
                "base": {"type": "integer"},
                "unit": {"type": "string", "enum": ["m", "ft"]},
                "tags": {"type": "array", "items": {}},
                "either": {"anyOf": [{"type": "number"}, {"type": "null"}]},
            },
            "required": ["base"],
            "additionalProperties": false,
        });
        assert_eq!(relaxed(&schema), expected);
    }
}
