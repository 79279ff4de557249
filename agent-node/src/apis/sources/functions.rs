//! Lists of functions: BFCL's `function` fields and OpenAI's `tools`, as a JSON array or as JSON lines.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::{Reading, Skipped, names};
use crate::apis::{Api, Effect, Notation};

const MAX_DEPTH: usize = 32;

/// Reads the functions of all records; equal ones (BFCL repeats some) once.
pub(super) fn read(content: &str, file: &str) -> Reading {
    let mut reading = Reading::default();
    let (mut apis, mut seen): (Vec<Api>, HashSet<String>) = (Vec::new(), HashSet::new());
    for (line, record) in super::records(content) {
        let functions = record.map(|record| {
            let listed = functions(&record).map(|list| list.into_iter().cloned().collect());
            listed.unwrap_or_else(|| vec![record])
        });
        match functions {
            Err(reason) => reading.skipped.push(Skipped { place: format!("{file}:{line}"), reason }),
            Ok(functions) => {
                for function in functions {
                    match api(&function) {
                        Ok(api) if seen.insert(serde_json::to_string(&api).unwrap_or_default()) => apis.push(api),
                        Ok(_) => {}
                        Err(reason) => reading.skipped.push(Skipped { place: format!("{file}:{line}"), reason }),
                    }
                }
            }
        }
    }
    let candidates = apis.iter().map(|api| vec![api.name.clone()]).collect();
    names::distinct(candidates, |index, name| apis[index].name = name);
    reading.apis = apis;
    reading
}

/// Whether a record has or is a function.
pub(super) fn is_record(record: &Value) -> bool {
    let first = functions(record).and_then(|functions| functions.first().copied()).unwrap_or(record);
    let first = first.get("function").unwrap_or(first);
    first.get("name").is_some_and(Value::is_string) && first.get("parameters").is_some_and(Value::is_object)
}

/// The list in a record that has one.
fn functions(record: &Value) -> Option<Vec<&Value>> {
    let list = ["function", "functions", "tools"].iter().find_map(|key| record.get(key)?.as_array());
    Some(list?.iter().collect())
}

/// One function, OpenAI's `{"type":"function","function":{…}}` too.
fn api(function: &Value) -> Result<Api, String> {
    let function = function.get("function").unwrap_or(function);
    let name = function.get("name").and_then(Value::as_str).ok_or("a function has no `name`")?;
    let parameters = function.get("parameters").cloned().unwrap_or_else(|| json!({"type": "object"}));
    let mut parameters =
        schema(parameters, MAX_DEPTH).ok_or_else(|| format!("the schema of `{name}` is nested too deeply"))?;
    let fields = parameters.as_object_mut().ok_or_else(|| format!("the `parameters` of `{name}` are not an object"))?;
    if fields.get("type").is_some_and(|kind| kind != "object") {
        return Err(format!("the `parameters` of `{name}` do not describe an object"));
    }
    fields.insert("type".to_owned(), "object".into());
    fields.entry("properties").or_insert_with(|| Map::new().into());
    fields.entry("required").or_insert_with(|| Vec::<Value>::new().into());
    Ok(Api {
        name: names::clean(name),
        description: function.get("description").and_then(Value::as_str).unwrap_or_default().to_owned(),
        domain: String::new(),
        parameters,
        notation: Notation::Json,
        binding: None,
        effect: Effect::Irreversible,
        details: Map::new(),
    })
}

/// BFCL's types are Python's: `dict`, `float`, `tuple`, `any`. None past the depth.
fn schema(value: Value, depth: usize) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    let Value::Object(fields) = value else { return Some(value) };
    let mut result = Map::new();
    for (key, value) in fields {
        let value = match (key.as_str(), value) {
            ("type", Value::String(kind)) => match kind.as_str() {
                "dict" | "HashMap" | "hashtable" => "object".into(),
                "float" | "double" => "number".into(),
                "int" | "long" => "integer".into(),
                "tuple" | "list" | "Array" | "ArrayList" => "array".into(),
                "bool" | "Boolean" => "boolean".into(),
                "String" | "str" | "char" => "string".into(),
                "any" => continue,
                _ => kind.into(),
            },
            ("properties", Value::Object(properties)) => {
                let properties = properties.into_iter().map(|(name, value)| Some((name, schema(value, depth)?)));
                properties.collect::<Option<Map<_, _>>>()?.into()
            }
            ("items" | "additionalProperties" | "not", value) => schema(value, depth)?,
            ("anyOf" | "oneOf" | "allOf", Value::Array(parts)) => {
                parts.into_iter().map(|part| schema(part, depth)).collect::<Option<Vec<_>>>()?.into()
            }
            // A member of OpenAI's functions that is no keyword of JSON Schema.
            ("optional", Value::Bool(_)) => continue,
            (_, value) => value,
        };
        result.insert(key, value);
    }
    Some(result.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_python_become_types_of_json() {
        let line = r#"{"id":"1","question":[],"function":[{"name":"f","description":"d","parameters":{"type":"dict","properties":{"a":{"type":"float"},"b":{"type":"tuple","items":{"type":"any","description":"x"}},"type":{"type":"string"}},"required":["a"]}}]}"#;
        let reading = read(&format!("{line}\n{line}\n{{}}\n"), "f");
        assert_eq!((reading.apis.len(), reading.skipped[0].place.as_str()), (1, "f:3"));
        let expected = json!({"type": "object", "properties": {
            "a": {"type": "number"}, "b": {"type": "array", "items": {"description": "x"}}, "type": {"type": "string"},
        }, "required": ["a"]});
        assert_eq!(reading.apis[0].parameters, expected);
    }

    #[test]
    fn openais_tools_are_read_too() {
        let tools = r#"[{"type":"function","function":{"name":"a","parameters":{"type":"object","properties":{}}}},{"type":"function","function":{"name":"a","description":"other"}}]"#;
        let reading = read(tools, "f");
        let names: Vec<&str> = reading.apis.iter().map(|api| api.name.as_str()).collect();
        assert_eq!(names, ["a", "a (2)"]);
    }
}
