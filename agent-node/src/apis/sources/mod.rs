//! Where APIs come from: one file a kind of document, each read into [`Api`]s.

mod functions;
mod gorilla;
mod grpc;
mod http;
mod mcp;
mod names;
mod openapi;
mod python;

use std::{fmt, fs::File, io::Read, path::Path};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Api;

/// Bytes of a document that somebody serves.
const MAX_FETCHED_BYTES: usize = 64 << 20;
/// Bytes of a file: 100,000 records of APIBench have 150 MiB.
const MAX_FILE_BYTES: usize = 256 << 20;
/// Bytes of an OpenAPI document, which is held as a whole; the largest ones that are published have 12 MB.
const MAX_OPENAPI_BYTES: usize = 32 << 20;
/// Records of a document.
const MAX_RECORDS: usize = 500_000;
/// Values within one another, as text.
const MAX_DEPTH: usize = 8;

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
    /// There is no such file.
    #[error("there is no file `{location}`; for the command line of an MCP server, add `--kind mcp`")]
    NoFile {
        /// The source.
        location: String,
    },
    /// The file cannot be read.
    #[error("cannot read `{location}`")]
    Read {
        /// The file.
        location: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The document is too large.
    #[error("`{location}` has more than {limit} bytes")]
    TooLarge {
        /// The source.
        location: String,
        /// The most.
        limit: usize,
    },
    /// The document is not what it should be.
    #[error("`{location}` cannot be used: {reason}")]
    Invalid {
        /// The source.
        location: String,
        /// Why.
        reason: String,
    },
    /// The server does not answer as it should.
    #[error("cannot read from `{location}`: {reason}")]
    Server {
        /// The source.
        location: String,
        /// Why.
        reason: String,
    },
}

/// Reads a source.
///
/// # Errors
/// When it cannot be reached or read as a whole; single records that are not understood are counted in the reading.
pub async fn read(source: &Source) -> Result<Reading, SourceError> {
    let Source { location, kind } = source;
    let scheme = location.split_once("://").map(|(scheme, _)| scheme);
    match (kind, scheme) {
        (Some(SourceKind::Mcp), _) => mcp::read(location).await,
        (Some(SourceKind::Grpc), _) | (None, Some("grpc" | "grpcs")) => grpc::read(location).await,
        (_, Some("http" | "https")) => {
            let content = http::get(location, MAX_FETCHED_BYTES).await?;
            document(content, location.clone(), *kind).await
        }
        _ => {
            let path = location.clone();
            let content = blocking(move || file(&path)).await?;
            document(content, location.clone(), *kind).await
        }
    }
}

/// Parsing takes a while for large documents, and depth: it is off the threads that serve, on a stack of its own.
async fn document(content: Vec<u8>, location: String, kind: Option<SourceKind>) -> Result<Reading, SourceError> {
    blocking(move || parse(&content, &location, kind)).await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SourceError> + Send + 'static,
) -> Result<T, SourceError> {
    let ended = |error: tokio::task::JoinError| {
        Err(SourceError::Invalid { location: "the source".to_owned(), reason: format!("internal error: {error}") })
    };
    tokio::task::spawn_blocking(work).await.unwrap_or_else(ended)
}

fn file(location: &str) -> Result<Vec<u8>, SourceError> {
    let failed = |source| SourceError::Read { location: location.to_owned(), source };
    if !Path::new(location).exists() {
        return Err(SourceError::NoFile { location: location.to_owned() });
    }
    let mut content = Vec::new();
    let file = File::open(location).map_err(failed)?;
    file.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut content).map_err(failed)?;
    if content.len() > MAX_FILE_BYTES {
        return Err(SourceError::TooLarge { location: location.to_owned(), limit: MAX_FILE_BYTES });
    }
    Ok(content)
}

fn parse(content: &[u8], location: &str, kind: Option<SourceKind>) -> Result<Reading, SourceError> {
    let invalid = |reason: String| SourceError::Invalid { location: location.to_owned(), reason };
    let text = std::str::from_utf8(content).map_err(|error| invalid(format!("it is not UTF-8: {error}")))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let file = location.rsplit('/').next().unwrap_or(location);
    match kind.or_else(|| detect(text, location)) {
        Some(SourceKind::Gorilla) => Ok(gorilla::read(text, file)),
        Some(SourceKind::Functions) => Ok(functions::read(text, file)),
        Some(SourceKind::Python) => Ok(python::functions(text, file)),
        Some(SourceKind::Openapi) => openapi::read(&tree(text).map_err(invalid)?, location),
        _ => Err(SourceError::UnknownKind { location: location.to_owned() }),
    }
}

/// What a document is, by its first record.
fn detect(text: &str, location: &str) -> Option<SourceKind> {
    if location.ends_with(".py") {
        return Some(SourceKind::Python);
    }
    match records(text).find_map(|(_, record)| record.ok()) {
        Some(record) if gorilla::is_record(&record) => Some(SourceKind::Gorilla),
        Some(record) if functions::is_record(&record) => Some(SourceKind::Functions),
        _ => openapi::is_document(&tree(text).ok()?).then_some(SourceKind::Openapi),
    }
}

/// A document in JSON or YAML, which is a superset but for what is most of it: documents of megabytes are JSON.
fn tree(text: &str) -> Result<Value, String> {
    if text.len() > MAX_OPENAPI_BYTES {
        return Err(format!("it has more than {MAX_OPENAPI_BYTES} bytes"));
    }
    match serde_json::from_str(text) {
        Ok(tree) => Ok(tree),
        Err(error) if text.trim_start().starts_with(['{', '[']) => Err(format!("it is not JSON: {error}")),
        Err(_) => serde_saphyr::from_str(text).map_err(|error| format!("it is not YAML: {error}")),
    }
}

/// The records of a document, with their lines: those of one JSON array, or one a line. A record that is not JSON says why.
fn records(text: &str) -> impl Iterator<Item = (usize, Result<Value, String>)> {
    let list = || serde_json::from_str::<Vec<Value>>(text).ok();
    let whole = if text.trim_start().starts_with('[') { list() } else { None };
    let lines = if whole.is_some() { "" } else { text };
    let line = |(index, line): (usize, &str)| {
        let line = line.trim();
        (!line.is_empty())
            .then(|| (index + 1, serde_json::from_str(line).map_err(|error| format!("it is not JSON: {error}"))))
    };
    // Of a list the number stands for the line.
    let listed = whole.into_iter().flatten().enumerate().map(|(index, record)| (index + 1, Ok(record)));
    listed.chain(lines.lines().enumerate().filter_map(line)).take(MAX_RECORDS)
}

/// A field of any type as text.
pub(crate) fn text(value: &Value) -> String {
    fn write(value: &Value, depth: usize) -> String {
        match value {
            Value::Null => String::new(),
            Value::String(text) => text.trim().to_owned(),
            Value::Array(items) if depth > 0 => {
                items.iter().map(|item| write(item, depth - 1)).collect::<Vec<_>>().join(", ")
            }
            Value::Object(members) if depth > 0 => {
                let member = |(key, value): (&String, &Value)| format!("{key}: {}", write(value, depth - 1));
                members.iter().map(member).collect::<Vec<_>>().join(", ")
            }
            scalar => scalar.to_string(),
        }
    }
    write(value, MAX_DEPTH)
}

#[cfg(test)]
mod tests;
