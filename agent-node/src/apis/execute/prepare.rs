//! A call, checked and laid out, before anything is asked, written or sent.

use jsonschema::PatternOptions;
use serde_json::Value;
use url::Url;

use super::Executor;
use super::credentials::{Credential, CredentialError, CredentialKind};
use super::error::ExecuteError;
use super::journal::Intent;
use super::mcp::Server;
use super::place::{Placed, place};
use super::policy::Rule;
use super::preview::{Preview, class, server};
use super::redact::Redactor;
use crate::apis::{Api, Binding, Call, HttpMethod};

/// Steps that a pattern in a schema may take over an argument: documents are not ours, and some patterns never end.
const PATTERN_STEPS: usize = 100_000;

/// A call that could be sent.
pub(super) struct Prepared<'a> {
    pub(super) api: &'a Api,
    pub(super) call: &'a Call,
    pub(super) request: Request,
    pub(super) credential: Option<(&'a str, &'a Credential)>,
    pub(super) preview: Preview,
    target: String,
}

/// What would be sent.
pub(super) enum Request {
    Http(HttpMethod, Box<Placed>),
    Mcp(Server, String),
    Grpc(Url, String),
}

impl Executor {
    pub(super) fn prepare<'a>(&'a self, api: &'a Api, call: &'a Call) -> Result<Prepared<'a>, ExecuteError> {
        self.prepare_as(api, call, (class(&api.effect), self.config.policy.rule(&api.effect)))
    }

    pub(super) fn prepare_as<'a>(
        &'a self,
        api: &'a Api,
        call: &'a Call,
        class: (&'static str, Rule),
    ) -> Result<Prepared<'a>, ExecuteError> {
        if api.name != call.api {
            return Err(ExecuteError::OtherApi { api: api.name.clone(), call: call.api.clone() });
        }
        let binding = api.binding.as_ref().ok_or_else(|| ExecuteError::NotExecutable(api.name.clone()))?;
        self.fits(api, call)?;
        let (request, target) = lay_out(binding, call).map_err(|problem| fault(api, problem))?;
        let credential = self.credential(binding, &request)?;
        let shown = credential.map(|(name, credential)| credential.kind.shown(name));
        let text = text(&request, &target, binding, call, shown);
        let preview = Preview::new(api, call, class, &text);
        Ok(Prepared { api, call, request, credential, preview, target })
    }

    /// That the arguments fit was checked where the call was made. Whoever made it, it is checked here.
    fn fits(&self, api: &Api, call: &Call) -> Result<(), ExecuteError> {
        let limit = self.config.limits.request_bytes;
        let wrong = |problem: String| ExecuteError::Arguments { api: api.name.clone(), problem };
        let arguments = Value::Object(call.arguments.clone());
        if arguments.to_string().len() > limit {
            return Err(wrong(format!("they are longer than {limit} bytes")));
        }
        let patterns = PatternOptions::fancy_regex().backtrack_limit(PATTERN_STEPS);
        let validator = jsonschema::options().with_draft(jsonschema::Draft::Draft202012).with_pattern_options(patterns);
        let validator = validator.build(&api.parameters);
        let validator = validator.map_err(|error| fault(api, format!("its schema is none: {error}")))?;
        let told = validator.iter_errors(&arguments).next().map(|error| {
            let at = error.instance_path().to_string();
            wrong(if at.is_empty() { error.to_string() } else { format!("{at}: {error}") })
        });
        told.map_or(Ok(()), Err)
    }

    /// The credential that the document names; MCP and gRPC documents name none, and get the one for their host.
    fn credential(&self, binding: &Binding, request: &Request) -> Result<Option<(&str, &Credential)>, ExecuteError> {
        let credentials = &self.config.credentials;
        let named = match binding {
            Binding::Http(http) => http.credential.as_deref(),
            Binding::Mcp { .. } | Binding::Grpc { .. } => None,
        };
        if let Some(name) = named {
            let found = credentials.get_key_value(name).map(|(name, credential)| (name.as_str(), credential));
            return Ok(Some(found.ok_or_else(|| CredentialError::Unknown(name.to_owned()))?));
        }
        let (Request::Mcp(Server::Url(url), _) | Request::Grpc(url, _)) = request else { return Ok(None) };
        let fitting =
            credentials.iter().find(|(_, one)| one.is_for(url) && !matches!(one.kind, CredentialKind::Query(_)));
        Ok(fitting.map(|(name, credential)| (name.as_str(), credential)))
    }
}

impl Prepared<'_> {
    /// What the journal is told.
    pub(super) fn intent(&self, redactor: &Redactor, undoes: Option<String>) -> Intent {
        let arguments = match redactor.json(Value::Object(self.call.arguments.clone())) {
            Value::Object(arguments) => arguments,
            _ => Default::default(),
        };
        Intent {
            api: self.api.name.clone(),
            class: self.preview.class.to_owned(),
            server: self.api.binding.as_ref().map(server).unwrap_or_default().to_owned(),
            target: redactor.text(&self.target),
            arguments,
            fingerprint: self.preview.fingerprint.clone(),
            undoes,
        }
    }
}

fn fault(api: &Api, problem: String) -> ExecuteError {
    ExecuteError::Document { api: api.name.clone(), problem }
}

/// What would be sent, and where within its server, in words.
fn lay_out(binding: &Binding, call: &Call) -> Result<(Request, String), String> {
    Ok(match binding {
        Binding::Http(http) => {
            let placed = place(http, &call.arguments)?;
            let target = format!("{} {}", reqwest::Method::from(http.method), placed.url.path());
            (Request::Http(http.method, Box::new(placed)), target)
        }
        Binding::Mcp { server, tool } => (Request::Mcp(Server::try_new(server)?, tool.clone()), format!("tool {tool}")),
        Binding::Grpc { endpoint, method } => {
            let url = Url::parse(endpoint).map_err(|error| format!("its endpoint is no URL: {error}"))?;
            (Request::Grpc(url, method.clone()), format!("method {method}"))
        }
    })
}

/// Exactly what is sent, for a reader. Arguments are JSON on one line or encoded, so that none can pass for another line.
fn text(request: &Request, target: &str, binding: &Binding, call: &Call, credential: Option<String>) -> String {
    let mut lines = Vec::new();
    match request {
        Request::Http(method, placed) => {
            lines.push(format!("{} {}", reqwest::Method::from(*method), placed.url));
            let headers =
                placed.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap_or("?")));
            lines.extend(headers);
            lines.extend(credential);
            lines.extend(placed.body.as_ref().map(Value::to_string));
        }
        Request::Mcp(..) | Request::Grpc(..) => {
            lines.push(format!("{target} of {}", server(binding)));
            lines.extend(credential);
            lines.push(Value::Object(call.arguments.clone()).to_string());
        }
    }
    lines.join("\n")
}
