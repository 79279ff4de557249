//! Calls over HTTP.

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Method, Response, StatusCode};
use rustls::ClientConfig;
use url::Url;

use super::client::client;
use super::config::Limits;
use super::credentials::Secret;
use super::error::Trouble;
use super::guard::{Guard, Target};
use super::journal::State;
use super::outcome::{Answer, Content};
use super::place::Placed;
use crate::apis::HttpMethod;

/// Sends a request, follows redirects of one that only reads, and reads the answer as far as it may be long.
pub(super) async fn send(
    method: HttpMethod,
    placed: Placed,
    secret: Option<&Secret>,
    (guard, tls, limits): (&Guard, &ClientConfig, &Limits),
) -> Result<Answer, Trouble> {
    let Placed { mut url, mut headers, body } = placed;
    let first = url.origin();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/*;q=0.9, */*;q=0.1"));
    let mut redirects = 0;
    loop {
        let hop = Hop { method: method.into(), url: &url, headers: &headers, body: body.as_ref() };
        // A redirect that cannot be followed leaves a read without an answer, and that is all that happened.
        let into_trouble = |trouble: Trouble| if redirects == 0 { trouble } else { Trouble::refused(trouble.why) };
        let target = guard.check(&url).await.map_err(Trouble::from).map_err(into_trouble)?;
        let own = secret.filter(|_| url.origin() == first);
        let response = hop.send(&target, own, tls).await.map_err(into_trouble)?;
        let Some(next) = redirect(&response, &url) else { return read(response, limits).await };
        if !matches!(method, HttpMethod::Get | HttpMethod::Head) {
            return Err(Trouble::refused(
                "it redirects a call that may change something: its document's server is not where it is",
            ));
        }
        redirects += 1;
        if redirects > limits.redirects {
            return Err(Trouble::refused(format!("it redirects more than {} times", limits.redirects)));
        }
        let next = next.map_err(Trouble::refused)?;
        if next.origin() != first {
            // What was meant for the document's server, another one does not get.
            headers = HeaderMap::from_iter(headers.remove(ACCEPT).map(|accept| (ACCEPT, accept)));
        }
        url = next;
    }
}

/// One request to one server.
struct Hop<'a> {
    method: Method,
    url: &'a Url,
    headers: &'a HeaderMap,
    body: Option<&'a serde_json::Value>,
}

impl Hop<'_> {
    async fn send(&self, target: &Target, secret: Option<&Secret>, tls: &ClientConfig) -> Result<Response, Trouble> {
        let (mut url, mut headers) = (self.url.clone(), self.headers.clone());
        if let Some(secret) = secret {
            if !secret.is_for(&url, target) {
                return Err(Trouble::before(secret.misplaced(&target.host)));
            }
            secret.add(&mut url, &mut headers);
        }
        let client = client(target, tls).build().map_err(|error| Trouble::before(said(error)))?;
        let request = client.request(self.method.clone(), url).headers(headers);
        let request = match self.body {
            Some(body) => request.header(CONTENT_TYPE, "application/json").body(body.to_string()),
            None => request,
        };
        request.send().await.map_err(|error| {
            let sent = !error.is_connect() && !error.is_builder();
            if sent { Trouble::unknown(said(error)) } else { Trouble::before(said(error)) }
        })
    }
}

/// Where a response sends us; nothing if it doesn't.
fn redirect(response: &Response, from: &Url) -> Option<Result<Url, String>> {
    let is_redirect = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = response.headers().get(LOCATION).filter(|_| is_redirect)?;
    let location = location.to_str().map_err(|_| "it redirects to what is no URL".to_owned());
    Some(location.and_then(|to| {
        let next = from.join(to).map_err(|error| format!("it redirects to what is no URL: {error}"))?;
        let is_downgrade = from.scheme() == "https" && next.scheme() != "https";
        if is_downgrade { Err("it redirects from https to the clear".to_owned()) } else { Ok(next) }
    }))
}

/// Reads an answer. Its bytes are counted after they were unpacked.
async fn read(mut response: Response, limits: &Limits) -> Result<Answer, Trouble> {
    let status = response.status();
    let shown = status_text(status);
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default().to_owned();
    let mut bytes = Vec::new();
    loop {
        let chunk = response.chunk().await.map_err(|error| Trouble {
            state: state(status),
            why: format!("it said {shown}, and then: {}", said(error)),
        })?;
        let Some(chunk) = chunk else { break };
        if bytes.len() + chunk.len() > limits.response_bytes {
            let why = format!("it said {shown}, and its answer is longer than {} bytes", limits.response_bytes);
            return Err(Trouble { state: state(status), why });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Answer { succeeded: status.is_success(), status: shown, result: Content::of(&kind, &bytes) })
}

fn status_text(status: StatusCode) -> String {
    format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or_default()).trim_end().to_owned()
}

/// The status alone says what became of a call.
fn state(status: StatusCode) -> State {
    if status.is_success() { State::Done } else { State::Failed }
}

/// What went wrong, without the URL: a credential may be in its query.
fn said(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

impl From<HttpMethod> for Method {
    fn from(method: HttpMethod) -> Self {
        match method {
            HttpMethod::Get => Self::GET,
            HttpMethod::Head => Self::HEAD,
            HttpMethod::Post => Self::POST,
            HttpMethod::Put => Self::PUT,
            HttpMethod::Patch => Self::PATCH,
            HttpMethod::Delete => Self::DELETE,
        }
    }
}
