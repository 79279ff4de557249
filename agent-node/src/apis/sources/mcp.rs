//! Servers of the Model Context Protocol: a command line that is started and spoken to over its standard streams, or a URL
//! (streamable HTTP). One API a tool.
//!
//! A tool that says `readOnlyHint` is [`Effect::Read`]; anything else is irreversible: the other hints promise nothing that
//! could be undone.

use std::{process::Stdio, sync::Arc, time::Duration};

use reqwest::Url;
use rmcp::{
    RoleClient, ServiceExt,
    model::{PaginatedRequestParams, Tool},
    service::RunningService,
    transport::{
        StreamableHttpClientTransport, common::client_side_sse::NeverRetry,
        streamable_http_client::StreamableHttpClientTransportConfig,
    },
};
use serde_json::{Map, Value};
use tokio::{
    io::AsyncReadExt,
    process::{Child, Command},
};

use super::{Reading, Skipped, SourceError, http, names};
use crate::apis::{Api, Binding, Effect, Notation};

/// All of a listing together.
const LIST_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_BYTES: usize = 32 << 20;
const MAX_PAGES: usize = 200;
const MAX_TOOLS: usize = 10_000;
const MAX_SCHEMA_BYTES: usize = 64 << 10;

/// Lists a server's tools.
pub(super) async fn read(server: &str) -> Result<Reading, SourceError> {
    let failed = |reason: String| SourceError::Server { location: server.to_owned(), reason };
    let listed = tokio::time::timeout(LIST_TIMEOUT, list(server)).await;
    let tools =
        listed.unwrap_or_else(|_| Err(format!("it did not list its tools within {LIST_TIMEOUT:?}"))).map_err(failed)?;
    let mut reading = Reading::default();
    for tool in tools {
        let name = tool.name.to_string();
        match api(server, tool) {
            Ok(api) => reading.apis.push(api),
            Err(reason) => reading.skipped.push(Skipped { place: names::clean(&name), reason }),
        }
    }
    let candidates: Vec<_> = reading.apis.iter().map(|api| vec![api.name.clone()]).collect();
    names::distinct(candidates, |index, name| reading.apis[index].name = name);
    Ok(reading)
}

async fn list(server: &str) -> Result<Vec<Tool>, String> {
    let silent = |error: &dyn std::fmt::Display| format!("it does not begin to speak MCP: {error}");
    if let Ok(url) = Url::parse(server)
        && url.scheme().starts_with("http")
    {
        let mut config = StreamableHttpClientTransportConfig::with_uri(url.as_str());
        config.retry_config = Arc::new(NeverRetry::default());
        config.max_sse_event_size = MAX_BYTES;
        config.max_json_response_size = MAX_BYTES;
        let client = http::client().map_err(|error| error.to_string())?;
        let transport = StreamableHttpClientTransport::with_client(client, config);
        return tools(().serve(transport).await.map_err(|error| silent(&error))?).await;
    }
    let (mut child, program) = start(server)?;
    let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(format!("cannot talk to `{program}`"));
    };
    // What it writes beyond this is not read: the stream ends there.
    let tools = tools(().serve((stdout.take(MAX_BYTES as u64), stdin)).await.map_err(|error| silent(&error))?).await;
    let _ = child.kill().await;
    tools
}

/// The program of a command line. It ends with the handle.
fn start(command_line: &str) -> Result<(Child, String), String> {
    let words = shlex::split(command_line).filter(|words| !words.is_empty()).ok_or("it is no command line")?;
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).kill_on_drop(true);
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    Ok((spawned.map_err(|error| format!("cannot start `{}`: {error}", words[0]))?, words[0].clone()))
}

/// All pages of tools; then the connection ends.
async fn tools(service: RunningService<RoleClient, ()>) -> Result<Vec<Tool>, String> {
    let (mut tools, mut cursor) = (Vec::new(), None);
    for _ in 0..MAX_PAGES {
        let page = service.peer().list_tools(Some(PaginatedRequestParams::default().with_cursor(cursor))).await;
        let page = page.map_err(|error| format!("it did not list its tools: {error}"))?;
        tools.extend(page.tools);
        if tools.len() > MAX_TOOLS {
            return Err(format!("it has more than {MAX_TOOLS} tools"));
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            // However it ends, everything is here.
            let _ = service.cancel().await;
            return Ok(tools);
        }
    }
    Err(format!("its list has more than {MAX_PAGES} pages"))
}

fn api(server: &str, tool: Tool) -> Result<Api, String> {
    let mut parameters = Map::clone(&tool.input_schema);
    if serde_json::to_vec(&parameters).map_or(usize::MAX, |text| text.len()) > MAX_SCHEMA_BYTES {
        return Err(format!("its schema has more than {MAX_SCHEMA_BYTES} bytes"));
    }
    parameters.insert("type".to_owned(), "object".into());
    parameters.entry("properties").or_insert_with(|| Map::new().into());
    parameters.entry("required").or_insert_with(|| Vec::<Value>::new().into());
    parameters.remove("$schema");
    let annotations = tool.annotations.unwrap_or_default();
    let is_read_only = annotations.read_only_hint == Some(true);
    let title = tool.title.or(annotations.title);
    let description = tool.description.map(|text| text.into_owned()).or_else(|| title.clone());
    Ok(Api {
        name: tool.name.to_string(),
        description: description.unwrap_or_default(),
        domain: String::new(),
        parameters: parameters.into(),
        notation: Notation::Json,
        binding: Some(Binding::Mcp { server: server.to_owned(), tool: tool.name.into_owned() }),
        effect: if is_read_only { Effect::Read } else { Effect::Irreversible },
        details: title.map(|title| ("title".to_owned(), title.into())).into_iter().collect(),
    })
}
