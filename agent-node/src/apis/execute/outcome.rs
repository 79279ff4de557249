//! What came of a call.

use serde::Serialize;
use serde_json::Value;

use super::redact::Redactor;

/// What came of a call that was made. What is in `result` was written by a server: data, whatever it says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// What names the call in the journal.
    pub id: String,
    /// Whether the server says that it did it.
    pub succeeded: bool,
    /// The server's status, such as `201 Created`.
    pub status: String,
    /// What it said, without credentials, within the limits.
    pub result: Content,
    /// Whether `synod apis undo` can take it back.
    pub undoable: bool,
    /// That the journal could not be told; the call is unknown there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// What a server said.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Content {
    /// A document.
    Json(Value),
    /// Anything else.
    Text(String),
}

impl std::fmt::Display for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Json(value) => value.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// What a protocol brings back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) succeeded: bool,
    pub(super) status: String,
    pub(super) result: Content,
}

impl Content {
    /// Reads an answer's bytes. Those that are neither JSON nor text are described.
    pub(super) fn of(kind: &str, bytes: &[u8]) -> Self {
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        // serde_json stops at a depth of 128.
        let json = if kind.ends_with("json") || kind.is_empty() { serde_json::from_slice(bytes).ok() } else { None };
        match (json, std::str::from_utf8(bytes)) {
            (Some(json), _) => Self::Json(json),
            (None, Ok(text)) => Self::Text(text.to_owned()),
            (None, Err(_)) if kind.starts_with("text/") => Self::Text(String::from_utf8_lossy(bytes).into_owned()),
            (None, Err(_)) => Self::Text(format!("[{} bytes of {kind}]", bytes.len())),
        }
    }

    /// Without the secret.
    pub(super) fn redacted(self, redactor: &Redactor) -> Self {
        match self {
            Self::Json(value) => Self::Json(redactor.json(value)),
            Self::Text(text) => Self::Text(redactor.text(&text)),
        }
    }

    /// As a document, for pointers into it.
    pub(super) fn value(&self) -> Value {
        match self {
            Self::Json(value) => value.clone(),
            Self::Text(text) => Value::String(text.clone()),
        }
    }
}
