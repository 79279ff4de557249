//! An API's schema as the decoder can enforce it. What it cannot is left out here, by name, and checked when the answer is
//! there: nothing is passed over in silence.

use std::{collections::HashMap, fmt};

use serde_json::{Map, Value, json};

use crate::apis::Api;

/// Schemas in each other.
const MAX_DEPTH: usize = 24;
/// What a decoder can hold a value to.
const ENFORCED: [&str; 20] = [
    "type",
    "enum",
    "const",
    "anyOf",
    "oneOf",
    "allOf",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "pattern",
    "format",
    "minProperties",
    "maxProperties",
    "prefixItems",
];
/// What is kept where the compiler refused more.
const PLAIN: [&str; 6] = ["type", "enum", "const", "anyOf", "minItems", "maxItems"];
/// What says nothing about which values are right.
const ANNOTATIONS: [&str; 13] = [
    "title",
    "description",
    "default",
    "examples",
    "example",
    "deprecated",
    "readOnly",
    "writeOnly",
    "$comment",
    "$schema",
    "$id",
    "optional",
    "nullable",
];
/// What is looked at by itself.
const STRUCTURE: [&str; 7] =
    ["properties", "required", "additionalProperties", "items", "$ref", "$defs", "definitions"];

/// How much of a schema is enforced while a model writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// All keywords that the compiler knows.
    Full,
    /// Types, names and listed values: for schemas whose details the compiler refused.
    Plain,
}

/// A keyword that the decoder was not given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relaxed {
    /// Whose.
    pub api: String,
    /// Where in its schema, as a path.
    pub at: String,
    /// Which.
    pub keyword: String,
}

impl fmt::Display for Relaxed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { api, at, keyword } = self;
        write!(f, "{api}{at}: `{keyword}` is checked after the call was written, not while it is")
    }
}

/// The arguments' schema of `api`, the `index`th of those in one grammar; its definitions go to `definitions`.
pub(super) fn relax(
    api: &Api,
    index: usize,
    level: Level,
    definitions: &mut Map<String, Value>,
    relaxed: &mut Vec<Relaxed>,
) -> Value {
    let mut names = HashMap::new();
    let own = ["$defs", "definitions"].into_iter().flat_map(|key| {
        let members = api.parameters.get(key).and_then(Value::as_object);
        members.into_iter().flatten().map(move |(name, schema)| (format!("#/{key}/{name}"), schema))
    });
    let own: Vec<(String, &Value)> = own.collect();
    for (position, (pointer, _)) in own.iter().enumerate() {
        names.insert(pointer.clone(), format!("a{index}d{position}"));
    }
    let mut walk = Walk { api, level, names, relaxed };
    for (pointer, schema) in own {
        let schema = walk.schema(schema, &pointer, 0);
        definitions.insert(walk.names[&pointer].clone(), schema);
    }
    let mut arguments = walk.schema(&api.parameters, "", 0);
    fix(&mut arguments, &api.parameters);
    arguments
}

/// Arguments are an object without others, and what the document fixes is always written.
fn fix(arguments: &mut Value, parameters: &Value) {
    arguments["type"] = json!("object");
    if arguments.get("properties").is_none() {
        arguments["properties"] = json!({});
    }
    arguments["additionalProperties"] = json!(false);
    let properties = parameters.get("properties").and_then(Value::as_object);
    let fixed = |(name, schema): (&String, &Value)| {
        (schema.get("const").is_some() || super::document::is_required(parameters, name)).then(|| json!(name))
    };
    arguments["required"] = properties.into_iter().flatten().filter_map(fixed).collect();
}

struct Walk<'a> {
    api: &'a Api,
    level: Level,
    /// What definitions are called among those of all APIs, by the reference to them.
    names: HashMap<String, String>,
    relaxed: &'a mut Vec<Relaxed>,
}

impl Walk<'_> {
    fn schema(&mut self, schema: &Value, at: &str, depth: usize) -> Value {
        let Value::Object(members) = schema else { return schema.clone() };
        if depth > MAX_DEPTH {
            self.leave(at, "depth");
            return json!({});
        }
        let mut kept = Map::new();
        for (key, value) in members {
            let here = format!("{at}/{key}");
            match key.as_str() {
                "properties" => drop(kept.insert(key.clone(), self.named(value, &here, depth))),
                "required" => drop(kept.insert(key.clone(), value.clone())),
                "items" if value.is_array() => self.leave(at, key),
                "items" | "additionalProperties" => {
                    drop(kept.insert(key.clone(), self.schema(value, &here, depth + 1)))
                }
                "$ref" => match value.as_str().and_then(|to| self.names.get(to)) {
                    Some(name) => drop(kept.insert(key.clone(), json!(format!("#/$defs/{name}")))),
                    None => self.leave(at, key),
                },
                "oneOf" if self.level == Level::Plain => {
                    self.leave(at, key);
                    kept.insert("anyOf".to_owned(), self.list(value, &here, depth));
                }
                "anyOf" | "oneOf" | "allOf" | "prefixItems" if self.keeps(key) => {
                    kept.insert(key.clone(), self.list(value, &here, depth));
                }
                key if self.keeps(key) => drop(kept.insert(key.to_owned(), value.clone())),
                key if ANNOTATIONS.contains(&key) || STRUCTURE.contains(&key) => {}
                key => self.leave(at, key),
            }
        }
        // An object that lists its members has no others: a model would invent them.
        if kept.contains_key("properties") && !kept.contains_key("additionalProperties") {
            kept.insert("additionalProperties".to_owned(), json!(false));
        }
        Value::Object(kept)
    }

    fn keeps(&self, key: &str) -> bool {
        if self.level == Level::Full { ENFORCED.contains(&key) } else { PLAIN.contains(&key) }
    }

    fn named(&mut self, value: &Value, at: &str, depth: usize) -> Value {
        let members = value.as_object().into_iter().flatten();
        let each =
            |(name, schema): (&String, &Value)| (name.clone(), self.schema(schema, &format!("{at}/{name}"), depth + 1));
        Value::Object(members.map(each).collect())
    }

    fn list(&mut self, value: &Value, at: &str, depth: usize) -> Value {
        value.as_array().into_iter().flatten().map(|schema| self.schema(schema, at, depth + 1)).collect()
    }

    fn leave(&mut self, at: &str, keyword: &str) {
        self.relaxed.push(Relaxed { api: self.api.name.clone(), at: at.to_owned(), keyword: keyword.to_owned() });
    }
}
