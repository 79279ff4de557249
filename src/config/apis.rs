//! `[apis]`: which calls of APIs are made, where they may go, and what lets them in there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use synod_agent_node::apis::execute::{
    Credential, CredentialKind, ExecutorConfig, Guard, Limits, Network, Policy, Rule, SecretSource, SystemLookup,
};

use super::check::Checker;
use super::key::KeyPath;

const TIME_LIMIT_S: i64 = 600;
const BYTES_LIMIT: i64 = 64 * 1024 * 1024;
const REDIRECTS_LIMIT: i64 = 10;
const KINDS: &str = "`bearer`, `basic`, `header` or `query`";

/// `[apis]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ApisShape {
    /// Rule for calls that change nothing.
    read: Option<String>,
    /// Rule for calls that can be undone.
    reversible: Option<String>,
    /// Rule for the rest.
    irreversible: Option<String>,
    /// The hosts that may be called; none means all.
    hosts: Vec<String>,
    /// Places off the public internet that may be reached.
    networks: Vec<String>,
    /// Time for a call.
    time_s: Option<i64>,
    /// Size of an answer.
    response_bytes: Option<i64>,
    /// Size of arguments.
    request_bytes: Option<i64>,
    /// Redirects that are followed.
    redirects: Option<i64>,
    /// Whether nodes carry out calls for others.
    serve: bool,
    /// What lets calls in.
    credentials: BTreeMap<String, CredentialShape>,
}

/// `[apis.credentials.NAME]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CredentialShape {
    /// The one host that gets it.
    host: Option<String>,
    /// How it is shown.
    kind: Option<String>,
    /// The header's or the parameter's name.
    name: Option<String>,
    /// The user of kind `basic`.
    user: Option<String>,
    /// Where it is: a file,
    file: Option<String>,
    /// or a variable.
    env: Option<String>,
}

/// How calls of APIs are carried out.
#[derive(Debug, Clone)]
pub(crate) struct Apis {
    policy: Policy,
    guard: Guard,
    limits: Limits,
    credentials: BTreeMap<String, Credential>,
    /// Whether a node carries out the calls that others on the network ask it for.
    pub(crate) serve: bool,
}

impl Apis {
    /// What an executor is built from. Its journal is beside the catalogues of this store.
    pub(crate) fn executor(&self, home: &Path, allow_irreversible: bool) -> ExecutorConfig {
        ExecutorConfig {
            policy: if allow_irreversible { self.policy.allowing_irreversible() } else { self.policy },
            guard: self.guard.clone(),
            limits: self.limits,
            credentials: self.credentials.clone(),
            journal: home.join("apis").join("journal.jsonl"),
        }
    }
}

impl Checker<'_> {
    pub(super) fn apis(&mut self, shape: ApisShape) -> Apis {
        let table = KeyPath::of(["apis"]);
        let careful = Policy::CAREFUL;
        let policy = Policy {
            read: self.rule(&table.key("read"), shape.read, careful.read),
            reversible: self.rule(&table.key("reversible"), shape.reversible, careful.reversible),
            irreversible: self.rule(&table.key("irreversible"), shape.irreversible, careful.irreversible),
        };
        let usual = Limits::USUAL;
        let bytes = |checker: &mut Self, name: &str, given, usual| {
            let bytes = checker.within(&table.key(name), given, 1024..=BYTES_LIMIT);
            bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usual)
        };
        let time = self.within(&table.key("time_s"), shape.time_s, 1..=TIME_LIMIT_S);
        let redirects = self.within(&table.key("redirects"), shape.redirects, 0..=REDIRECTS_LIMIT);
        let limits = Limits {
            time: time.and_then(|s| u64::try_from(s).ok()).map_or(usual.time, Duration::from_secs),
            redirects: redirects.and_then(|number| usize::try_from(number).ok()).unwrap_or(usual.redirects),
            response_bytes: bytes(self, "response_bytes", shape.response_bytes, usual.response_bytes),
            request_bytes: bytes(self, "request_bytes", shape.request_bytes, usual.request_bytes),
            ..usual
        };
        let hosts = self.hosts(&table.key("hosts"), shape.hosts);
        let networks = self.networks(&table.key("networks"), &shape.networks);
        let mut credentials = BTreeMap::new();
        for (name, shape) in shape.credentials {
            let credential = self.credential(&KeyPath::of(["apis", "credentials", &name]), shape);
            credentials.extend(credential.map(|credential| (name, credential)));
        }
        let guard = Guard { hosts, networks, lookup: Arc::new(SystemLookup) };
        Apis { policy, guard, limits, credentials, serve: shape.serve }
    }

    fn rule(&mut self, key: &KeyPath, text: Option<String>, default: Rule) -> Rule {
        match text.as_deref() {
            None => default,
            Some("auto") => Rule::Auto,
            Some("confirm") => Rule::Confirm,
            Some("deny") => Rule::Deny,
            Some(other) => {
                self.report(key, format!("there is no rule `{other}`: it takes `auto`, `confirm` or `deny`"));
                default
            }
        }
    }

    fn within(&mut self, key: &KeyPath, given: Option<i64>, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        let given = given?;
        if !range.contains(&given) {
            self.report(key, format!("{given} must be between {} and {}", range.start(), range.end()));
        }
        Some(given)
    }

    fn hosts(&mut self, key: &KeyPath, hosts: Vec<String>) -> Vec<String> {
        for (at, host) in hosts.iter().enumerate() {
            let name = host.strip_prefix("*.").unwrap_or(host);
            if name.is_empty() || name.contains(['*', '/', '@', ' ']) || name.contains("://") {
                let message =
                    format!("`{host}` is no host: it takes `api.example.org`, or `*.example.org` for all below");
                self.report(&key.index(at), message);
            }
        }
        hosts
    }

    fn networks(&mut self, key: &KeyPath, texts: &[String]) -> Vec<Network> {
        let mut networks = Vec::new();
        for (at, text) in texts.iter().enumerate() {
            match text.parse() {
                Ok(network) => networks.push(network),
                Err(error) => self.report(&key.index(at), format!("{error}")),
            }
        }
        networks
    }

    fn credential(&mut self, table: &KeyPath, shape: CredentialShape) -> Option<Credential> {
        let source = match (shape.file, shape.env) {
            (Some(file), None) => Some(SecretSource::File(PathBuf::from(file))),
            (None, Some(variable)) => Some(SecretSource::Environment(variable)),
            _ => {
                self.report(table, "must say where the secret is, with `file` or with `env`: it is never written here");
                None
            }
        };
        let host = self.needed(&table.key("host"), shape.host, "the one host that gets it, such as `api.example.org`");
        if host.contains('/') || host.contains('*') {
            self.report(&table.key("host"), format!("`{host}` is not one host: it takes `HOST` or `HOST:PORT`"));
        }
        let name = |checker: &mut Self, what| checker.needed(&table.key("name"), shape.name.clone(), what);
        let kind = match shape.kind.as_deref() {
            Some("bearer") => Some(CredentialKind::Bearer),
            Some("basic") => Some(CredentialKind::Basic(self.needed(&table.key("user"), shape.user, "the user"))),
            Some("query") => Some(CredentialKind::Query(name(self, "the parameter's name"))),
            Some("header") => {
                let header = name(self, "the header's name").parse().map(CredentialKind::Header);
                header.map_err(|_| self.report(&table.key("name"), "is no name of a header")).ok()
            }
            other => {
                let other = other.unwrap_or_default();
                self.report(&table.key("kind"), format!("there is no credential of kind `{other}`: it takes {KINDS}"));
                None
            }
        };
        Some(Credential { host, source: source?, kind: kind? })
    }
}
