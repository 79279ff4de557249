//! Where a call may go. A host is resolved once, here; whoever connects gets the addresses that were checked and no chance
//! to ask again (a name that answers differently the second time is how guards are walked around).

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures::future::BoxFuture;
use url::{Host, Url};

use super::address::{Network, special};

/// Answers that are looked at; a name with more is cut.
const ADDRESSES_LIMIT: usize = 16;

/// What resolves names.
pub trait Lookup: fmt::Debug + Send + Sync {
    /// The addresses of a host.
    fn lookup(&self, host: &str) -> BoxFuture<'_, std::io::Result<Vec<IpAddr>>>;
}

/// The system's own resolver.
#[derive(Debug)]
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup(&self, host: &str) -> BoxFuture<'_, std::io::Result<Vec<IpAddr>>> {
        let host = host.to_owned();
        Box::pin(async move { Ok(tokio::net::lookup_host((host, 0)).await?.map(|place| place.ip()).collect()) })
    }
}

/// Where calls may go.
#[derive(Debug, Clone)]
pub struct Guard {
    /// Hosts that may be called, `*.example.org` for all below; none means every host.
    pub hosts: Vec<String>,
    /// Places off the public internet that may be reached all the same.
    pub networks: Vec<Network>,
    /// Resolves names.
    pub lookup: Arc<dyn Lookup>,
}

/// A server that may be called, and where it is.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// The name, or the address without brackets.
    pub(super) host: String,
    /// Checked, in the resolver's order; never empty.
    pub(super) addresses: Vec<SocketAddr>,
}

/// A call that may not go where it would.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each says itself")]
pub enum Refusal {
    #[error("`{0}` is not a URL of http or https")]
    Scheme(String),
    #[error("the URL of {0} holds a user or a password: name a credential in its place")]
    UserInfo(String),
    #[error("{0} is not among the hosts that may be called: add it to `hosts` in [apis]")]
    Host(String),
    #[error("cannot resolve {host}: {why}")]
    Unresolved { host: String, why: String },
    #[error("{host} is at {address}, which is {what}: if that is meant, add \"{address}\" to `networks` in [apis]")]
    Address { host: String, address: SocketAddr, what: &'static str },
    #[error("{0} would be called in the clear: use https, or add its address to `networks` in [apis]")]
    Clear(String),
}

impl Guard {
    /// Resolves a URL's host and checks all of it.
    pub(super) async fn check(&self, url: &Url) -> Result<Target, Refusal> {
        let shown = || url.origin().ascii_serialization();
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refusal::Scheme(shown()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refusal::UserInfo(shown()));
        }
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return Err(Refusal::Scheme(shown()));
        };
        let (name, found) = match host {
            // URLs write addresses in many ways (0x7f.1, 2130706433); the parser has read them all.
            Host::Ipv4(address) => (address.to_string(), Some(vec![IpAddr::V4(address)])),
            Host::Ipv6(address) => (address.to_string(), Some(vec![IpAddr::V6(address)])),
            Host::Domain(name) => (name.trim_end_matches('.').to_ascii_lowercase(), None),
        };
        if !self.hosts.is_empty() && !self.hosts.iter().any(|pattern| matches_host(pattern, &name)) {
            return Err(Refusal::Host(name));
        }
        let found = match found {
            Some(literal) => literal,
            None => self.resolve(&name).await?,
        };
        let addresses = self.allowed(&name, found, port, url.scheme() == "http")?;
        Ok(Target { host: name, addresses })
    }

    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, Refusal> {
        let unresolved = |why: String| Refusal::Unresolved { host: host.to_owned(), why };
        let mut found = self.lookup.lookup(host).await.map_err(|error| unresolved(error.to_string()))?;
        found.truncate(ADDRESSES_LIMIT);
        if found.is_empty() { Err(unresolved("it has no address".to_owned())) } else { Ok(found) }
    }

    /// Those that may be connected to; if none, why not the first.
    fn allowed(&self, host: &str, found: Vec<IpAddr>, port: u16, clear: bool) -> Result<Vec<SocketAddr>, Refusal> {
        let mut refused = None;
        let mut allowed = Vec::new();
        for address in found.into_iter().map(|address| SocketAddr::new(address.to_canonical(), port)) {
            let is_named = self.networks.iter().any(|network| network.holds(address.ip(), port));
            let refusal = match special(address.ip()) {
                _ if is_named => None,
                Some(what) => Some(Refusal::Address { host: host.to_owned(), address, what }),
                None => clear.then(|| Refusal::Clear(host.to_owned())),
            };
            match refusal {
                None => allowed.push(address),
                Some(refusal) => refused = refused.or(Some(refusal)),
            }
        }
        match refused {
            Some(refusal) if allowed.is_empty() => Err(refusal),
            _ => Ok(allowed),
        }
    }
}

fn matches_host(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(parent) => {
            host.len() > parent.len() + 1
                && host
                    .get(host.len() - parent.len() - 1..)
                    .is_some_and(|end| end.strip_prefix('.').is_some_and(|end| end.eq_ignore_ascii_case(parent)))
        }
        None => pattern.eq_ignore_ascii_case(host),
    }
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
