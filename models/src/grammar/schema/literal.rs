//! Values in schemas: what can be written exactly as it is meant.

use serde_json::{Map, Value, json};

/// The largest integer up to which JSON readers hold every one (RFC 8259, section 6).
pub(super) const MOST: i64 = (1 << 53) - 1;

/// Keywords that may already say more of a number than a bound would.
const SAYS_MORE: [&str; 6] = ["const", "enum", "allOf", "anyOf", "oneOf", "$ref"];

/// Says what in `value` would be written as something else.
pub(super) fn check(value: &Value) -> Result<(), String> {
    match value {
        Value::Null | Value::Bool(_) => Ok(()),
        Value::Number(_) => check_number(value),
        Value::String(text) => check_text(text),
        Value::Array(items) => items.iter().try_for_each(check),
        Value::Object(members) => members.values().try_for_each(check),
    }
}

/// llguidance holds numbers as `f64`.
pub(super) fn check_number(value: &Value) -> Result<(), String> {
    let Value::Number(number) = value else { return Err(format!("must be a number, is {value}")) };
    let exact = number.as_i64().map(|integer| integer.abs_diff(0) <= MOST as u64);
    if exact.unwrap_or(!number.is_u64()) { Ok(()) } else { Err(format!("{number} is beyond ±(2^53 − 1)")) }
}

/// Strings are written with short escapes only.
fn check_text(text: &str) -> Result<(), String> {
    let unwritable = |c: &char| c.is_ascii_control() && !"\n\r\t\u{8}\u{c}".contains(*c);
    match text.chars().find(unwritable) {
        Some(c) => Err(format!("{text:?} has the control character {:?}, which is not written", c)),
        None => Ok(()),
    }
}

/// Gives numbers the bounds of [`MOST`] where the schema gives none: digits then come to an end, and every reader can hold
/// the number.
pub(super) fn bound_numbers(members: &mut Map<String, Value>) {
    let is_number = |name: &Value| matches!(name.as_str(), Some("number" | "integer"));
    let numbers = match members.get("type") {
        Some(Value::Array(names)) => names.iter().any(is_number),
        Some(name) => is_number(name),
        None => false,
    };
    if !numbers || SAYS_MORE.iter().any(|key| members.contains_key(*key)) {
        return;
    }
    let bound = |key: &str| members.get(key).and_then(Value::as_f64);
    let least = bound("minimum").or(bound("exclusiveMinimum"));
    let most = bound("maximum").or(bound("exclusiveMaximum"));
    if least.is_none() && most.is_none_or(|most| most > -MOST as f64) {
        members.insert("minimum".to_owned(), json!(-MOST));
    }
    if most.is_none() && least.is_none_or(|least| least < MOST as f64) {
        members.insert("maximum".to_owned(), json!(MOST));
    }
}
