//! What form the answer has: text, any JSON object, or JSON under a schema.

use serde::Deserialize;
use serde_json::Value;

use super::error::ApiError;
use crate::members::Grammar;

/// The most bytes of a schema's name.
const MAX_NAME: usize = 64;

/// The form of an answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) enum Format {
    #[default]
    Text,
    Object,
    Schema(Value),
}

/// `response_format` of chat completions, where a schema stands in a field of its own, and `text.format` of responses.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum FormatShape {
    Text,
    JsonObject,
    JsonSchema {
        json_schema: Option<SchemaShape>,
        #[serde(flatten)]
        flat: Option<SchemaShape>,
    },
}

#[derive(Debug, Deserialize)]
pub(super) struct SchemaShape {
    name: String,
    schema: Option<Value>,
}

impl Format {
    /// Checks it; `param` is what the request calls it.
    pub(super) fn read(shape: Option<FormatShape>, param: &str) -> Result<Self, ApiError> {
        let (json_schema, flat) = match shape {
            None | Some(FormatShape::Text) => return Ok(Self::Text),
            Some(FormatShape::JsonObject) => return Ok(Self::Object),
            Some(FormatShape::JsonSchema { json_schema, flat }) => (json_schema, flat),
        };
        let missing = || ApiError::field(param, "a JSON schema needs a `name` and a `schema`");
        let SchemaShape { name, schema } = json_schema.or(flat).ok_or_else(missing)?;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(is_plain) {
            let message = format!("a schema's name has 1 to {MAX_NAME} of A-Z, a-z, 0-9, '_' and '-'");
            return Err(ApiError::field(format!("{param}.name"), message));
        }
        Ok(Self::Schema(schema.ok_or_else(missing)?))
    }

    pub(super) fn grammar(&self) -> Option<Grammar> {
        match self {
            Self::Text => None,
            Self::Object => Some(Grammar::JsonObject),
            Self::Schema(schema) => Some(Grammar::JsonSchema(schema.to_string())),
        }
    }

    /// What the model is told of it: it writes better what it knows that it should.
    pub(super) fn instructions(&self) -> Option<String> {
        match self {
            Self::Text => None,
            Self::Object => Some("Answer with one JSON object and nothing else.".to_owned()),
            Self::Schema(schema) => Some(format!("Answer with JSON that is valid under this JSON schema:\n{schema}")),
        }
    }
}
