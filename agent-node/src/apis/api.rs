//! One API, wherever its document came from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a catalogue knows of one API. Every source (Gorilla records, OpenAPI, MCP, gRPC, signatures) is read into this.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Api {
    /// Unique in its catalogue; what a model writes to choose this API.
    pub name: String,
    /// What it does, in the document's words.
    pub description: String,
    /// The document's own grouping (Gorilla's domain, an OpenAPI tag, a gRPC service); empty where it has none.
    pub domain: String,
    /// JSON Schema (draft 2020-12) of the arguments: always an object with `properties` and `required`. What the document
    /// fixes (the repository of a model card) is a `const`.
    pub parameters: Value,
    /// How a call of it is written out.
    pub notation: Notation,
    /// How a call of it is carried out; none for APIs that are only written.
    pub binding: Option<Binding>,
    /// What a call does to the world.
    pub effect: Effect,
    /// What else the document says (framework, performance, example code): searched, and shown where there is room.
    pub details: Map<String, Value>,
}

/// How a call is written out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Notation {
    /// `{"name": …, "arguments": {…}}`
    Json,
    /// `callee(first, key=value)` in Python.
    Python {
        /// What stands before the bracket, such as `torch.hub.load`.
        callee: String,
        /// The arguments that are written without their names, in order.
        positional: Vec<String>,
    },
}

/// What a call does to the world (GoEx, arXiv 2404.06921).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "class", rename_all = "snake_case")]
pub enum Effect {
    /// Nothing changes.
    Read,
    /// What it changes, `inverse` changes back: the API of that name in the same catalogue. Its arguments are those of the
    /// call or members of its result, by name (`arguments[inverse's parameter] = name`).
    Reversible {
        /// The name of the API that undoes it.
        inverse: String,
        /// The inverse's parameter → a JSON pointer into `{"arguments": …, "result": …}` of the call.
        arguments: BTreeMap<String, String>,
    },
    /// Cannot be taken back, or nothing is known about it.
    Irreversible,
}

/// How a call is carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "protocol", rename_all = "snake_case")]
pub enum Binding {
    /// A request over HTTP.
    Http(HttpBinding),
    /// A tool of an MCP server.
    Mcp {
        /// The server's command line (stdio) or its URL (streamable HTTP), as the catalogue's source names it.
        server: String,
        /// The tool's name there.
        tool: String,
    },
    /// A unary method of a gRPC server, known by reflection.
    Grpc {
        /// `http://host:port` or `https://…`
        endpoint: String,
        /// `package.Service/Method`
        method: String,
    },
}

/// A request over HTTP, as an OpenAPI operation describes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HttpBinding {
    /// GET, POST, …
    pub method: HttpMethod,
    /// Scheme, host and base path of the server, such as `https://api.example.org/v1`.
    pub server: String,
    /// The path with its parameters in braces: `/pets/{id}`.
    pub path: String,
    /// Where each argument goes.
    pub places: BTreeMap<String, Place>,
    /// Names the credential that is added when the request is sent (`[apis.credentials.NAME]`); never its value.
    pub credential: Option<String>,
}

/// Where in a request an argument goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// In the path's braces.
    Path,
    /// After the question mark.
    Query,
    /// In a header of that name.
    Header,
    /// A member of the JSON body.
    Body,
    /// The JSON body itself.
    WholeBody,
}

/// The methods of HTTP that APIs use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs, reason = "the names are the methods")]
pub enum HttpMethod {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}
