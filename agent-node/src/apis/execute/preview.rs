//! What a call would send, for a person to look at and to agree to.

use std::fmt::Write;

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::policy::Rule;
use crate::apis::{Api, Binding, Call, Effect};

/// What a call would send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Preview {
    /// The API's name.
    pub api: String,
    /// Its class: `read`, `reversible` or `irreversible`.
    pub class: &'static str,
    /// What the policy says about it.
    pub rule: Rule,
    /// Exactly what will be sent, credentials by name. Safe to print: it holds no control characters.
    pub text: String,
    /// Names this call and no other: sha256 over where it goes, what is sent and what it does.
    pub fingerprint: String,
}

impl Preview {
    pub(super) fn new(api: &Api, call: &Call, (class, rule): (&'static str, Rule), text: &str) -> Self {
        Self { api: api.name.clone(), class, rule, text: printable(text), fingerprint: fingerprint(api, call) }
    }
}

/// The name of an effect's class.
pub(super) fn class(effect: &Effect) -> &'static str {
    match effect {
        Effect::Read => "read",
        Effect::Reversible { .. } => "reversible",
        Effect::Irreversible => "irreversible",
    }
}

/// The server that a binding names, as it names it: an inverse must be at the same.
pub(super) fn server(binding: &Binding) -> &str {
    match binding {
        Binding::Http(http) => &http.server,
        Binding::Mcp { server, .. } => server,
        Binding::Grpc { endpoint, .. } => endpoint,
    }
}

fn fingerprint(api: &Api, call: &Call) -> String {
    let all =
        serde_json::json!({"api": api.name, "binding": api.binding, "effect": api.effect, "arguments": call.arguments});
    let digest = Sha256::digest(canonical(&all).as_bytes());
    digest.iter().take(16).fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// A document in which the order of members makes no difference.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by_key(|(key, _)| key.as_str());
            let members =
                sorted.into_iter().map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), canonical(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

/// Text that can be printed on a terminal: what a model or a server wrote could otherwise move the cursor, or turn the
/// direction of writing, and show the reader something else than what is sent.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for one in text.chars() {
        let is_hidden = matches!(one, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}');
        if (one.is_control() && one != '\n') || is_hidden {
            // Writing to a string does not fail.
            let _ = write!(shown, "\\u{{{:x}}}", u32::from(one));
        } else {
            shown.push(one);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn order_makes_no_difference_and_everything_else_does() {
        assert_eq!(
            canonical(&json!({"b": [1, {"d": 1, "c": "x"}], "a": null})),
            r#"{"a":null,"b":[1,{"c":"x","d":1}]}"#
        );
    }

    #[test]
    fn what_is_shown_cannot_move_the_cursor() {
        assert_eq!(printable("a\u{1b}[2Kb\r\u{202e}c\n\u{9b}d"), "a\\u{1b}[2Kb\\u{d}\\u{202e}c\n\\u{9b}d");
    }
}
