//! Python's literals as JSON values.

use serde_json::{Map, Number, Value};
use tree_sitter::Node;

use super::source;

/// The value of a literal; none for anything that would have to be run, or is nested too deeply.
pub(super) fn value(node: Node<'_>, text: &str, depth: usize) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    let mut cursor = node.walk();
    let mut children = node.named_children(&mut cursor).filter(|child| child.kind() != "comment");
    match node.kind() {
        "string" | "concatenated_string" => string(node, text).map(Value::from),
        "integer" => {
            let digits = source(node, text).replace('_', "");
            digits.parse::<i64>().ok().map(Value::from)
        }
        "float" => source(node, text).replace('_', "").parse().ok().and_then(Number::from_f64).map(Value::from),
        "true" => Some(Value::Bool(true)),
        "false" => Some(Value::Bool(false)),
        "none" => Some(Value::Null),
        "parenthesized_expression" => value(children.next()?, text, depth),
        "unary_operator" => match value(node.child_by_field_name("argument")?, text, depth)? {
            Value::Number(number) if source(node, text).starts_with('-') => negated(&number),
            _ => None,
        },
        "list" | "tuple" | "set" => {
            children.map(|child| value(child, text, depth)).collect::<Option<Vec<_>>>().map(Value::from)
        }
        "dictionary" => {
            let pair = |pair: Node<'_>| {
                let key = string(pair.child_by_field_name("key")?, text)?;
                Some((key, value(pair.child_by_field_name("value")?, text, depth)?))
            };
            children.map(pair).collect::<Option<Map<_, _>>>().map(Value::from)
        }
        _ => None,
    }
}

fn negated(number: &Number) -> Option<Value> {
    match number.as_i64() {
        Some(number) => number.checked_neg().map(Value::from),
        None => Number::from_f64(-number.as_f64()?).map(Value::from),
    }
}

/// The text of a string without placeholders, or of several that stand side by side.
pub(super) fn string(node: Node<'_>, text: &str) -> Option<String> {
    let mut cursor = node.walk();
    match node.kind() {
        "concatenated_string" => node
            .named_children(&mut cursor)
            .map(|part| string(part, text))
            .collect::<Option<Vec<_>>>()
            .map(|parts| parts.concat()),
        "string" => {
            let mut content = String::new();
            let raw = source(node.child(0)?, text).to_lowercase().contains('r');
            for part in node.named_children(&mut cursor) {
                match part.kind() {
                    "string_content" if raw => content.push_str(&source(part, text)),
                    "string_content" => content.push_str(&unescaped(&source(part, text))),
                    "string_start" | "string_end" => {}
                    _ => return None,
                }
            }
            Some(content)
        }
        _ => None,
    }
}

/// The escapes that documents use; others stay as they are written.
fn unescaped(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            result.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => result.push('\n'),
            Some('t') => result.push('\t'),
            Some('r') => result.push('\r'),
            Some(quoted @ ('\\' | '\'' | '"')) => result.push(quoted),
            Some('\n') => {}
            Some(other) => result.extend(['\\', other]),
            None => result.push('\\'),
        }
    }
    result
}
