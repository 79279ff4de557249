//! What tests of several files begin with.

use serde_json::{Map, json};

use super::{Api, Effect, Notation};

/// An API that takes nothing.
pub(crate) fn api(name: &str) -> Api {
    Api {
        name: name.to_owned(),
        description: String::new(),
        domain: String::new(),
        parameters: json!({"type": "object", "properties": {}, "required": []}),
        notation: Notation::Json,
        binding: None,
        effect: Effect::Irreversible,
        details: Map::new(),
    }
}
