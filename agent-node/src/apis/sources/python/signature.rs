//! Python functions to APIs: the signature becomes the schema, the docstring the description.

use serde_json::{Map, Value, json};
use tree_sitter::Node;

use super::{literal, parse, source};
use crate::apis::{
    Api, Effect, Notation,
    sources::{Reading, Skipped},
};

const MAX_DEPTH: usize = 16;

/// The functions of a module that are not private (`_f`), with their classes and modules left out.
pub(in crate::apis::sources) fn functions(text: &str, file: &str) -> Reading {
    let mut reading = Reading::default();
    let Some(tree) = parse(text) else { return reading };
    let root = tree.root_node();
    let mut cursor = root.walk();
    for node in root.named_children(&mut cursor) {
        let node =
            if node.kind() == "decorated_definition" { node.child_by_field_name("definition") } else { Some(node) };
        let place = |node: Node<'_>| format!("{file}:{}", node.start_position().row + 1);
        match node {
            Some(node) if node.kind() == "ERROR" => {
                reading.skipped.push(Skipped { place: place(node), reason: "this is not Python".to_owned() });
            }
            Some(node) if node.kind() == "function_definition" => match function(node, text) {
                Ok(Some(api)) => reading.apis.push(api),
                Ok(None) => {}
                Err(reason) => reading.skipped.push(Skipped { place: place(node), reason }),
            },
            _ => {}
        }
    }
    reading
}

/// None for a private one.
fn function(node: Node<'_>, text: &str) -> Result<Option<Api>, String> {
    let name = source(node.child_by_field_name("name").ok_or("it has no name")?, text);
    if name.starts_with('_') {
        return Ok(None);
    }
    if node.has_error() && node.child_by_field_name("parameters").is_none_or(|list| list.has_error()) {
        return Err(format!("the parameters of `{name}` are not Python"));
    }
    let doc = docstring(node, text).unwrap_or_default();
    let (mut properties, mut required) = (Map::new(), Vec::new());
    let list = node.child_by_field_name("parameters").ok_or("it has no parameters")?;
    let mut cursor = list.walk();
    for parameter in list.named_children(&mut cursor) {
        let Some((name, mut schema, needed)) = parameter_of(parameter, text) else { continue };
        if let Some(description) = described(&doc, &name) {
            schema.insert("description".to_owned(), description.into());
        }
        if needed {
            required.push(Value::from(name.as_str()));
        }
        properties.insert(name, schema.into());
    }
    Ok(Some(Api {
        description: doc.split("\n\n").next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" "),
        domain: String::new(),
        parameters: json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false}),
        notation: Notation::Python { callee: name.clone(), positional: Vec::new() },
        binding: None,
        effect: Effect::Irreversible,
        details: if doc.contains("\n\n") { Map::from_iter([("doc".to_owned(), doc.into())]) } else { Map::new() },
        name,
    }))
}

/// Name, schema, and whether it must be passed. None for `self`, `*args`, `**more` and separators.
fn parameter_of(node: Node<'_>, text: &str) -> Option<(String, Map<String, Value>, bool)> {
    let name = node.child_by_field_name("name").or_else(|| node.named_child(0)).unwrap_or(node);
    let name = match node.kind() {
        "identifier" => source(node, text),
        "typed_parameter" if name.kind() != "identifier" => return None,
        "typed_parameter" | "default_parameter" | "typed_default_parameter" => source(name, text),
        _ => return None,
    };
    if name == "self" || name == "cls" {
        return None;
    }
    let mut schema = match node.child_by_field_name("type") {
        Some(annotation) => schema_of(&source(annotation, text), MAX_DEPTH),
        None => Map::new(),
    };
    let default = node.child_by_field_name("value");
    if let Some(value) = default.and_then(|node| literal::value(node, text, MAX_DEPTH)) {
        schema.insert("default".to_owned(), value);
    }
    Some((name, schema, default.is_none()))
}

/// An annotation's schema; without constraints where it says nothing that a schema can.
fn schema_of(annotation: &str, depth: usize) -> Map<String, Value> {
    let object = |value: Value| if let Value::Object(map) = value { map } else { Map::new() };
    let Some(depth) = depth.checked_sub(1) else { return Map::new() };
    let annotation = annotation.trim().trim_matches(['"', '\'']);
    let parts = split(annotation, '|');
    if parts.len() > 1 {
        return union(&parts, depth);
    }
    let (head, inner) = match annotation.split_once('[') {
        Some((head, rest)) => (head, rest.strip_suffix(']').unwrap_or(rest)),
        None => (annotation, ""),
    };
    let arguments = split(inner, ',');
    let first = || arguments.first().map_or_else(Map::new, |inner| schema_of(inner, depth));
    match head.rsplit('.').next().unwrap_or(head).trim() {
        "int" => object(json!({"type": "integer"})),
        "float" => object(json!({"type": "number"})),
        "str" => object(json!({"type": "string"})),
        "bool" => object(json!({"type": "boolean"})),
        "None" => object(json!({"type": "null"})),
        "list" | "List" | "set" | "Set" | "Sequence" | "Iterable" | "tuple" | "Tuple" => {
            object(json!({"type": "array", "items": first()}))
        }
        "dict" | "Dict" | "Mapping" => {
            let values = arguments.get(1).map_or_else(Map::new, |inner| schema_of(inner, depth));
            object(json!({"type": "object", "additionalProperties": values}))
        }
        "Optional" => union(&[inner, "None"], depth),
        "Union" => union(&arguments, depth),
        "Annotated" => first(),
        "Literal" => {
            let values: Vec<Value> = arguments.iter().filter_map(|text| literal_of(text)).collect();
            object(json!({"enum": values}))
        }
        _ => Map::new(),
    }
}

fn union(parts: &[&str], depth: usize) -> Map<String, Value> {
    let parts: Vec<Value> = parts.iter().map(|part| schema_of(part, depth).into()).collect();
    Map::from_iter([("anyOf".to_owned(), parts.into())])
}

fn literal_of(text: &str) -> Option<Value> {
    let tree = parse(text)?;
    let statement = tree.root_node().named_child(0)?;
    literal::value(statement.named_child(0)?, text, MAX_DEPTH)
}

/// The parts between separators that are outside of brackets; none of an empty text.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut open, mut start) = (Vec::new(), 0usize, 0);
    for (at, c) in text.char_indices() {
        match c {
            '[' | '(' => open += 1,
            ']' | ')' => open = open.saturating_sub(1),
            c if c == separator && open == 0 => {
                parts.push(text[start..at].trim());
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    if !text[start..].trim().is_empty() {
        parts.push(text[start..].trim());
    }
    parts
}

fn docstring(function: Node<'_>, text: &str) -> Option<String> {
    let statement = function.child_by_field_name("body")?.named_child(0)?;
    let string = if statement.kind() == "string" { statement } else { statement.named_child(0)? };
    let doc = literal::string(string, text)?;
    Some(doc.lines().map(str::trim).collect::<Vec<_>>().join("\n").trim().to_owned())
}

/// What the docstring says of a parameter: `name: …`, `name (int): …` or `:param name: …`.
fn described(doc: &str, name: &str) -> Option<String> {
    doc.lines().find_map(|line| {
        let line = line.strip_prefix(":param ").unwrap_or(line);
        let rest = line.strip_prefix(name)?.trim_start();
        let rest = if rest.starts_with('(') { rest.split_once(')')?.1.trim_start() } else { rest };
        Some(rest.strip_prefix(':')?.trim().to_owned()).filter(|text| !text.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_a_schema_and_its_docstring_the_description() {
        let text = "
import os

def book(guests: int, name: str = \"x\", *args, when: Optional[list[str]] = None, how: Literal['a', 2] = 'a') -> bool:
    \"\"\"Books a
    table.

    Args:
        guests (int): How many come.
    \"\"\"
    return True

def _private(): pass

class C:
    def method(self): pass
";
        let reading = functions(text, "f.py");
        assert_eq!(reading.apis.len(), 1);
        let api = &reading.apis[0];
        assert_eq!((api.name.as_str(), api.description.as_str()), ("book", "Books a table."));
        let expected = json!({"type": "object", "properties": {
            "guests": {"type": "integer", "description": "How many come."},
            "name": {"type": "string", "default": "x"},
            "when": {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}], "default": null},
            "how": {"enum": ["a", 2], "default": "a"},
        }, "required": ["guests"], "additionalProperties": false});
        assert_eq!(api.parameters, expected);
    }

    #[test]
    fn what_is_not_python_is_named_with_its_line() {
        let reading = functions("def ok(a): pass\n\ndef broken(a: int = pass\n\ndef fine(): pass\n", "f.py");
        assert!(reading.apis.iter().any(|api| api.name == "ok"));
        assert!(reading.skipped.iter().all(|skipped| skipped.place.starts_with("f.py:")), "{:?}", reading.skipped);
        assert!(!reading.skipped.is_empty());
    }
}
