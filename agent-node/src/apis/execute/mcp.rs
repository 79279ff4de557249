//! Calls of tools that MCP servers offer: programs on this machine that the catalogue's source names, and servers over HTTP.

use std::process::Stdio;

use reqwest::header::HeaderMap;
use rmcp::model::{CallToolRequestParams, CallToolResult, ContentBlock, ResourceContents};
use rmcp::service::RunningService;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::common::client_side_sse::NeverRetry;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{RoleClient, ServiceError, ServiceExt};
use rustix::process::{Pid, Signal, kill_process_group};
use rustls::ClientConfig;
use serde_json::{Map, Value};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use url::Url;

use super::client::client;
use super::config::Limits;
use super::credentials::Secret;
use super::error::Trouble;
use super::guard::Guard;
use super::outcome::{Answer, Content};

/// What a server that is a program sees of our environment: nothing that could let it in somewhere.
const ENVIRONMENT: &[&str] = &["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER"];
/// Beside an answer a server sends its capabilities, logs and progress.
const TALK_BYTES: u64 = 1024 * 1024;

/// Where a server is, as the catalogue names it.
#[derive(Debug, Clone)]
pub(super) enum Server {
    /// Over streamable HTTP.
    Url(Url),
    /// A program that is started for the call, and its arguments.
    Program(Vec<String>),
}

impl Server {
    /// Reads what a binding names.
    pub(super) fn try_new(server: &str) -> Result<Self, String> {
        if server.starts_with("http://") || server.starts_with("https://") {
            return Url::parse(server).map(Self::Url).map_err(|error| format!("its server is no URL: {error}"));
        }
        let words = shlex::split(server).filter(|words| !words.is_empty());
        words.map(Self::Program).ok_or_else(|| format!("its server `{server}` is no command line"))
    }
}

/// Calls a tool of a program: starts it, asks, and ends it with everything that it started.
pub(super) async fn call_program(
    words: &[String],
    tool: &str,
    arguments: &Map<String, Value>,
    limits: &Limits,
) -> Result<Answer, Trouble> {
    let [program, rest @ ..] = words else { return Err(Trouble::before("its server has no program")) };
    let kept = ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    let mut command = Command::new(program);
    command.args(rest).env_clear().envs(kept).process_group(0).kill_on_drop(true);
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut child = spawned.map_err(|error| Trouble::before(format!("cannot start `{program}`: {error}")))?;
    let _group = Group::of(&child);
    let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(Trouble::before(format!("cannot talk to `{program}`")));
    };
    let stdout = stdout.take(limits.response_bytes as u64 + TALK_BYTES);
    let service = ().serve((stdout, stdin)).await;
    let service =
        service.map_err(|error| Trouble::before(format!("`{program}` does not begin to speak MCP: {error}")))?;
    ask(service, tool, arguments, limits).await
}

/// Calls a tool of a server over HTTP.
pub(super) async fn call_url(
    url: &Url,
    tool: &str,
    arguments: &Map<String, Value>,
    secret: Option<&Secret>,
    (guard, tls, limits): (&Guard, &ClientConfig, &Limits),
) -> Result<Answer, Trouble> {
    let target = guard.check(url).await?;
    let (mut url, mut headers) = (url.clone(), HeaderMap::new());
    if let Some(secret) = secret {
        if !secret.is_for(&url, &target) {
            return Err(Trouble::before(secret.misplaced(&target.host)));
        }
        secret.add(&mut url, &mut headers);
    }
    let client = client(&target, tls).default_headers(headers).build().map_err(Trouble::before)?;
    let mut config = StreamableHttpClientTransportConfig::with_uri(url.as_str());
    config.retry_config = std::sync::Arc::new(NeverRetry::default());
    config.max_sse_event_size = limits.response_bytes;
    config.max_json_response_size = limits.response_bytes;
    let service = ().serve(StreamableHttpClientTransport::with_client(client, config)).await;
    let service = service.map_err(|error| Trouble::before(format!("it does not begin to speak MCP: {error}")))?;
    ask(service, tool, arguments, limits).await
}

async fn ask(
    service: RunningService<RoleClient, ()>,
    tool: &str,
    arguments: &Map<String, Value>,
    limits: &Limits,
) -> Result<Answer, Trouble> {
    let params = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments.clone());
    // Once: a server that wants to ask us something back gets nothing.
    let asked = service.peer().call_tool(params).await;
    // Whatever the answer is, the connection ends here; how it does changes nothing about the call.
    let _ = service.cancel().await;
    let result = asked.map_err(|error| match error {
        ServiceError::McpError(error) => Trouble::refused(error),
        error => Trouble::unknown(error),
    })?;
    let succeeded = result.is_error != Some(true);
    let result = content(result);
    let length = serde_json::to_vec(&result).map_or(usize::MAX, |bytes| bytes.len());
    if length > limits.response_bytes {
        return Err(Trouble::unknown(format!("its answer is longer than {} bytes", limits.response_bytes)));
    }
    Ok(Answer { succeeded, status: if succeeded { "ok" } else { "error" }.to_owned(), result })
}

/// The structure where there is one, else the text; what is neither is named.
fn content(result: CallToolResult) -> Content {
    if let Some(structure) = result.structured_content {
        return Content::Json(structure);
    }
    let blocks = result.content.into_iter().map(|block| match block {
        ContentBlock::Text(text) => text.text,
        ContentBlock::Resource(resource) => match resource.resource {
            ResourceContents::TextResourceContents { text, .. } => text,
            _ => "[a file]".to_owned(),
        },
        ContentBlock::Image(image) => format!("[an image: {}]", image.mime_type),
        ContentBlock::Audio(audio) => format!("[a sound: {}]", audio.mime_type),
        ContentBlock::ResourceLink(link) => format!("[a link: {}]", link.uri),
        _ => "[something else]".to_owned(),
    });
    Content::of("", blocks.collect::<Vec<_>>().join("\n").as_bytes())
}

/// A program and whatever it started; ended when this is dropped, as when time is over.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // That it has ended by itself is fine.
        let _ = self.0.map(|group| kill_process_group(group, Signal::KILL));
    }
}
