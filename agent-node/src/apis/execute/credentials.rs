//! Credentials: read when a call is about to be sent, added to the request and to nothing else, for one host only.

use std::fmt;
use std::io::Read;
use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::guard::Target;
use super::redact::Redactor;

/// Room for the longest tokens that are in use.
const SECRET_LIMIT: u64 = 16 * 1024;
/// A shorter one could not be told from other words of an answer, so it could not be kept out of it.
const SECRET_MIN: usize = 8;

/// What lets a call in at one server. Only where the secret is, never the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The one host that gets it: `api.example.org` (port 443), or `host:port`.
    pub host: String,
    /// Where the secret is.
    pub source: SecretSource,
    /// How it is shown.
    pub kind: CredentialKind,
}

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// The first line of a file.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
}

/// How a credential is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialKind {
    /// `Authorization: Bearer …`
    Bearer,
    /// `Authorization: Basic …`, for this user.
    Basic(String),
    /// A header of this name.
    Header(HeaderName),
    /// A parameter of this name in the query.
    Query(String),
}

/// A credential that cannot be used. Says which, never what is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each says itself")]
pub enum CredentialError {
    #[error("there is no credential `{0}`: write it under [apis.credentials.{0}]")]
    Unknown(String),
    #[error("cannot read credential `{name}` from {from}: {why}")]
    Unreadable { name: String, from: String, why: String },
    #[error("credential `{0}` must be one line of {SECRET_MIN} to {SECRET_LIMIT} visible characters")]
    Shape(String),
    #[error("credential `{name}` is for {pinned} alone, over TLS or on this machine; it is not shown to {host}")]
    OtherHost { name: String, pinned: String, host: String },
}

/// A credential, read. Has no way to print itself.
pub(super) struct Secret {
    name: String,
    pinned: (String, u16),
    kind: CredentialKind,
    value: String,
}

impl Credential {
    /// Reads the secret.
    pub(super) fn read(&self, name: &str) -> Result<Secret, CredentialError> {
        let unreadable = |from: String, why: String| CredentialError::Unreadable { name: name.to_owned(), from, why };
        let text = match &self.source {
            SecretSource::File(path) => {
                let mut text = String::new();
                let file = std::fs::File::open(path);
                let read = file.and_then(|file| file.take(SECRET_LIMIT + 1).read_to_string(&mut text));
                read.map_err(|error| unreadable(path.display().to_string(), error.to_string()))?;
                text
            }
            SecretSource::Environment(variable) => std::env::var(variable)
                .map_err(|_| unreadable(format!("the variable {variable}"), "it is not set".to_owned()))?,
        };
        let value = text.trim_end_matches(['\n', '\r']);
        let is_visible = value.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        if !is_visible || value.len() < SECRET_MIN || value.len() as u64 > SECRET_LIMIT {
            return Err(CredentialError::Shape(name.to_owned()));
        }
        Ok(Secret { name: name.to_owned(), pinned: self.place(), kind: self.kind.clone(), value: value.to_owned() })
    }

    /// Whether it is for this server.
    pub(super) fn is_for(&self, url: &Url) -> bool {
        let (host, port) = self.place();
        url.host_str().is_some_and(|own| own.eq_ignore_ascii_case(&host)) && url.port_or_known_default() == Some(port)
    }

    fn place(&self) -> (String, u16) {
        let (host, port) = match self.host.rsplit_once(':') {
            Some((host, port)) if !host.ends_with(':') => (host, port.parse().unwrap_or(443)),
            _ => (self.host.as_str(), 443),
        };
        (host.to_ascii_lowercase(), port)
    }
}

impl Secret {
    /// Whether this server may see it: the host it is for, and where the connection is safe from other ears. (The guard lets
    /// nothing else than loopback and named networks be called in the clear.)
    pub(super) fn is_for(&self, url: &Url, target: &Target) -> bool {
        let (host, port) = &self.pinned;
        let near = target.addresses.iter().all(|place| place.ip().is_loopback());
        target.host == host.trim_matches(['[', ']'])
            && url.port_or_known_default() == Some(*port)
            && (url.scheme() == "https" || near)
    }

    /// Why a server does not get it.
    pub(super) fn misplaced(&self, host: &str) -> CredentialError {
        let pinned = format!("{}:{}", self.pinned.0, self.pinned.1);
        CredentialError::OtherHost { name: self.name.clone(), pinned, host: host.to_owned() }
    }

    /// Adds it to a request.
    pub(super) fn add(&self, url: &mut Url, headers: &mut HeaderMap) {
        match &self.kind {
            CredentialKind::Query(name) => {
                url.query_pairs_mut().append_pair(name, &self.value);
            }
            CredentialKind::Header(name) => self.insert(headers, name.clone()),
            CredentialKind::Bearer | CredentialKind::Basic(_) => self.insert(headers, AUTHORIZATION),
        }
    }

    fn insert(&self, headers: &mut HeaderMap, name: HeaderName) {
        // Visible ASCII was checked when it was read.
        if let Ok(mut value) = HeaderValue::from_str(&self.header()) {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }

    fn header(&self) -> String {
        match &self.kind {
            CredentialKind::Bearer => format!("Bearer {}", self.value),
            CredentialKind::Basic(user) => {
                format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{}", self.value)))
            }
            CredentialKind::Header(_) | CredentialKind::Query(_) => self.value.clone(),
        }
    }

    /// Takes it out of everything that is shown.
    pub(super) fn redactor(&self) -> Redactor {
        Redactor::new(&self.value)
    }
}

impl CredentialKind {
    /// How a preview shows it.
    pub(super) fn shown(&self, name: &str) -> String {
        match self {
            Self::Bearer => format!("authorization: Bearer [credential {name}]"),
            Self::Basic(user) => format!("authorization: Basic {user}:[credential {name}]"),
            Self::Header(header) => format!("{header}: [credential {name}]"),
            Self::Query(parameter) => format!("query parameter {parameter}: [credential {name}]"),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.name)
    }
}
