//! From APIs to what an answer must match: one alternative an API, its arguments under its own schema.

use serde_json::{Map, Value, json};

use super::{
    document::is_required,
    relax::{Level, Relaxed, relax},
};
use crate::apis::Api;

/// What an answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// The most calls; an array of them where it is more than one.
    pub(super) calls: usize,
    /// It may say that no API fits: `{"name":null}`.
    pub(super) may_decline: bool,
    /// It may name required arguments that the request does not give: `{"name":…,"missing":[…]}`.
    pub(super) may_ask: bool,
}

/// The schema of answers, and what of the APIs' own schemas it leaves to the check afterwards.
pub(super) fn schema(apis: &[&Api], shape: Shape, level: Level) -> (Value, Vec<Relaxed>) {
    let (mut alternatives, mut definitions, mut relaxed) = (Vec::new(), Map::new(), Vec::new());
    for (index, api) in apis.iter().enumerate() {
        let arguments = relax(api, index, level, &mut definitions, &mut relaxed);
        alternatives.push(object(json!({"name": {"const": api.name}, "arguments": arguments})));
        let open = askable(&api.parameters);
        if shape.may_ask && !open.is_empty() {
            let names = json!({"type": "array", "items": {"enum": open}, "minItems": 1, "maxItems": open.len()});
            alternatives.push(object(json!({"name": {"const": api.name}, "missing": names})));
        }
    }
    if shape.may_decline {
        alternatives.push(object(json!({"name": {"type": "null"}})));
    }
    let one = json!({"anyOf": alternatives});
    let mut schema = match shape.calls {
        0 | 1 => one,
        most => json!({"type": "array", "items": one, "minItems": 1, "maxItems": most}),
    };
    schema["$defs"] = Value::Object(definitions);
    (schema, relaxed)
}

/// An object with all of these properties and no others.
fn object(properties: Value) -> Value {
    let names: Vec<&String> = properties.as_object().map(|members| members.keys().collect()).unwrap_or_default();
    let required = json!(names);
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

/// Required arguments that a caller chooses.
fn askable(parameters: &Value) -> Vec<&String> {
    let properties = parameters.get("properties").and_then(Value::as_object);
    let open = |(name, schema): &(&String, &Value)| schema.get("const").is_none() && is_required(parameters, name);
    properties.into_iter().flatten().filter(open).map(|(name, _)| name).collect()
}
