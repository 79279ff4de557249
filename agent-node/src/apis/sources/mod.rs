//! Where APIs come from: one file a kind of document, each read into [`Api`]s.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Api;

/// A document or server that describes APIs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// A file, a URL, or the command line of an MCP server.
    pub location: String,
    /// What is there; none to find out from its content.
    pub kind: Option<SourceKind>,
}

/// What a source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    /// Gorilla's API records, one JSON object a line.
    Gorilla,
    /// Function lists as BFCL and OpenAI's `tools` have them: JSON or JSON lines.
    Functions,
    /// An OpenAPI document, 3.0 or 3.1, in JSON or YAML.
    Openapi,
    /// A server of the Model Context Protocol: a command line, or a URL.
    Mcp,
    /// A gRPC server that serves reflection: `grpc://host:port`, `grpcs://host:port`.
    Grpc,
    /// Python files: the signatures and docstrings of their functions.
    Python,
}

impl SourceKind {
    /// All kinds.
    pub const ALL: [Self; 6] = [Self::Gorilla, Self::Functions, Self::Openapi, Self::Mcp, Self::Grpc, Self::Python];

    /// What it is called on a command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gorilla => "gorilla",
            Self::Functions => "functions",
            Self::Openapi => "openapi",
            Self::Mcp => "mcp",
            Self::Grpc => "grpc",
            Self::Python => "python",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for SourceKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A record that was not understood, and so is not in the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// `file:line`, or the record's name in its document.
    pub place: String,
    /// What is wrong with it.
    pub reason: String,
}

/// What was read from a source.
#[derive(Debug, Default)]
pub struct Reading {
    /// With distinct names.
    pub apis: Vec<Api>,
    /// What is left out, in order.
    pub skipped: Vec<Skipped>,
}

/// Why a source could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// What is there is of no known kind.
    #[error("cannot tell what `{location}` is: say so with --kind")]
    UnknownKind {
        /// The source.
        location: String,
    },
}

/// Reads a source.
///
/// # Errors
/// When it cannot be reached or read as a whole; single records that are not understood are counted in the reading.
pub async fn read(source: &Source) -> Result<Reading, SourceError> {
    Err(SourceError::UnknownKind { location: source.location.clone() })
}
