//! Puts arguments into a request. What a model wrote stays within the place that the document gives it: it cannot begin
//! another header, another path or another parameter.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};
use url::Url;

use crate::apis::{HttpBinding, Place};

/// Unreserved in RFC 3986.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const URL_LIMIT_BYTES: usize = 8 * 1024;
const HEADER_LIMIT_BYTES: usize = 8 * 1024;
/// Headers that say how a request is carried, or for whom: no argument's business.
const OWN_HEADERS: &[&str] = &[
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// A request without its credential.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Value>,
}

/// Puts arguments where the binding says. Errors say what is wrong with which argument.
pub(super) fn place(binding: &HttpBinding, arguments: &Map<String, Value>) -> Result<Placed, String> {
    let server = Url::parse(&binding.server).map_err(|error| format!("its server is no URL: {error}"))?;
    if server.cannot_be_a_base() || server.query().is_some() || server.fragment().is_some() {
        return Err("its server must be a URL of scheme, host and path".to_owned());
    }
    let mut placed = Placed { url: server, headers: HeaderMap::new(), body: None };
    let path = format!("{}{}", placed.url.path().trim_end_matches('/'), fill(&binding.path, binding, arguments)?);
    set_path(&mut placed.url, &path)?;
    let mut body = Map::new();
    for (name, value) in arguments {
        match binding.places.get(name) {
            Some(Place::Path) => {}
            Some(Place::Query) => add_query(&mut placed.url, name, value)?,
            Some(Place::Header) => add_header(&mut placed.headers, name, value)?,
            Some(Place::Body) => {
                body.insert(name.clone(), value.clone());
            }
            Some(Place::WholeBody) => placed.body = Some(value.clone()),
            None => return Err(format!("its document does not say where `{name}` goes")),
        }
    }
    let has_members = binding.places.values().any(|place| *place == Place::Body);
    if has_members && placed.body.is_none() {
        placed.body = Some(Value::Object(body));
    }
    if placed.url.as_str().len() > URL_LIMIT_BYTES {
        return Err(format!("the URL would be longer than {URL_LIMIT_BYTES} bytes"));
    }
    Ok(placed)
}

/// The path with its braces filled.
fn fill(template: &str, binding: &HttpBinding, arguments: &Map<String, Value>) -> Result<String, String> {
    let mut path = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').ok_or_else(|| format!("its path `{template}` has an open brace"))?;
        if binding.places.get(name) != Some(&Place::Path) {
            return Err(format!("its document does not say that `{name}` goes into the path"));
        }
        let value = arguments.get(name).ok_or_else(|| format!("`{name}` is missing, and the path needs it"))?;
        path.push_str(before);
        path.push_str(&segment(name, value)?);
        rest = after;
    }
    path.push_str(rest);
    Ok(if path.starts_with('/') { path } else { format!("/{path}") })
}

/// One argument of a path. A slash in it is encoded; servers that decode before they split would still take `..` between
/// slashes for the folder above, so that is refused, as is nothing at all, which would name the collection.
fn segment(name: &str, value: &Value) -> Result<String, String> {
    let text = match value {
        Value::Array(items) => items.iter().map(|item| scalar(name, item)).collect::<Result<Vec<_>, _>>()?.join(","),
        value => scalar(name, value)?,
    };
    let climbs = text.split(['/', '\\']).any(|part| matches!(part, "." | ".."));
    if text.is_empty() || climbs || text.chars().any(char::is_control) {
        return Err(format!(
            "`{name}` goes into the path: it must not be empty, `.` or `..`, or hold control characters"
        ));
    }
    Ok(utf8_percent_encode(&text, SEGMENT).to_string())
}

fn set_path(url: &mut Url, path: &str) -> Result<(), String> {
    url.set_path(path);
    // The parser removes dot segments, however they came to be: then this is another path than the document's.
    if url.path() == path { Ok(()) } else { Err(format!("the path `{path}` is not what a server would see")) }
}

fn add_query(url: &mut Url, name: &str, value: &Value) -> Result<(), String> {
    let values = match value {
        Value::Array(items) => items.iter().map(|item| scalar(name, item)).collect::<Result<Vec<_>, _>>()?,
        value => vec![scalar(name, value)?],
    };
    // The name for each value: OpenAPI's style `form`, exploded.
    url.query_pairs_mut().extend_pairs(values.iter().map(|value| (name, value)));
    Ok(())
}

fn add_header(headers: &mut HeaderMap, name: &str, value: &Value) -> Result<(), String> {
    let header: HeaderName = name.parse().map_err(|_| format!("`{name}` is no name of a header"))?;
    if OWN_HEADERS.contains(&header.as_str()) || header.as_str().starts_with("proxy-") {
        return Err(format!("the header `{name}` is not for arguments"));
    }
    let text = scalar(name, value)?;
    if text.len() > HEADER_LIMIT_BYTES || !text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return Err(format!(
            "`{name}` goes into a header: it takes visible ASCII on one line, up to {HEADER_LIMIT_BYTES} bytes"
        ));
    }
    headers.insert(header, HeaderValue::from_str(&text).map_err(|_| format!("`{name}` does not fit into a header"))?);
    Ok(())
}

fn scalar(name: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
        _ => Err(format!("`{name}` must be a text, a number or a truth value where it goes")),
    }
}

#[cfg(test)]
#[path = "place_tests.rs"]
mod tests;
