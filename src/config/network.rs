//! Checks of `[tls]`, `[node]` and `[aggregator.discovery]`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use synod_aggregator::discovery::Records;
use synod_tls::{NamePattern, Names, TlsFiles};

use super::check::Checker;
use super::key::KeyPath;
use super::shape::{DiscoveryShape, ThisNodeShape, TlsShape};
use super::{Discovery, Etcd, ThisNode, TlsConfig};

/// Where registrations are unless somebody says otherwise.
const PREFIX: &str = "/synod/nodes/";
/// For instance: metrics are nowhere unless somebody says where.
const METRICS_PORT: u16 = 7690;
/// How often a name is resolved at least.
const INTERVAL_S: i64 = 30;
const INTERVAL_LIMIT_S: i64 = 3600;
const KINDS: &str = "`static`, `dns`, `etcd` or `kubernetes`";

impl Checker<'_> {
    /// All three files or none.
    pub(super) fn tls(&mut self, shape: TlsShape) -> Option<TlsConfig> {
        let table = KeyPath::of(["tls"]);
        let files = [("cert", shape.cert), ("key", shape.key), ("ca", shape.ca)];
        let names = Names {
            servers: self.patterns(&table.key("nodes"), &shape.nodes),
            clients: self.patterns(&table.key("clients"), &shape.clients),
        };
        let given = files.iter().any(|(_, file)| file.is_some());
        let needed = given || !shape.nodes.is_empty() || !shape.clients.is_empty();
        for (key, _) in files.iter().filter(|(_, file)| needed && file.is_none()) {
            self.report(&table.key(key), "is missing: TLS takes `cert`, `key` and `ca`, each a PEM file");
        }
        let [cert, key, ca] = files.map(|(_, file)| file.map(PathBuf::from));
        Some(TlsConfig { files: TlsFiles { cert: cert?, key: key?, ca: ca? }, names })
    }

    fn patterns(&mut self, key: &KeyPath, texts: &[String]) -> Vec<NamePattern> {
        let mut patterns = Vec::new();
        for (at, text) in texts.iter().enumerate() {
            match NamePattern::try_new(text) {
                Ok(pattern) => patterns.push(pattern),
                Err(error) => self.report(&key.index(at), error.to_string()),
            }
        }
        patterns
    }

    /// Where to serve metrics: nowhere unless somebody says where.
    pub(super) fn metrics(&mut self, key: &KeyPath, address: Option<String>) -> Option<SocketAddr> {
        address.map(|address| self.address(key, Some(address), METRICS_PORT))
    }

    pub(super) fn this_node(&mut self, shape: ThisNodeShape) -> ThisNode {
        let table = KeyPath::of(["node"]);
        let announce = shape.announce.filter(|address| {
            let right = is_host_port(address);
            if !right {
                let message = format!("`{address}` is not where others reach a node: it takes `HOST:PORT`");
                self.report(&table.key("announce"), message);
            }
            right
        });
        let register = shape.register.and_then(|url| {
            let key = table.key("register");
            let read = etcd_url(&url);
            if read.is_none() {
                let message = format!("`{url}` is no registry: it takes `etcd://HOST:PORT[,HOST:PORT][/PREFIX]`");
                self.report(&key, message);
            }
            self.built_with(&key, cfg!(feature = "etcd"), "etcd");
            read
        });
        let metrics = self.metrics(&table.key("metrics"), shape.metrics);
        ThisNode { announce, register, metrics }
    }

    pub(super) fn discovery(&mut self, shape: DiscoveryShape) -> Discovery {
        let table = KeyPath::of(["aggregator", "discovery"]);
        let kind = shape.kind.clone().unwrap_or_else(|| "static".to_owned());
        self.foreign_keys(&table, &kind, &shape);
        match kind.as_str() {
            "static" => Discovery::Static,
            "dns" => self.dns(&table, shape),
            "etcd" => {
                self.built_with(&table.key("kind"), cfg!(feature = "etcd"), "etcd");
                Discovery::Etcd(self.etcd(&table, shape))
            }
            "kubernetes" => {
                self.built_with(&table.key("kind"), cfg!(feature = "kubernetes"), "kubernetes");
                let service = self.needed(&table.key("service"), shape.service, "the name of the nodes' Service");
                Discovery::Kubernetes { namespace: shape.namespace, service, port_name: shape.port_name }
            }
            other => {
                self.report(&table.key("kind"), format!("there is no discovery `{other}`: it takes {KINDS}"));
                Discovery::Static
            }
        }
    }

    /// A key that another kind would read has no effect here, which nobody means.
    fn foreign_keys(&mut self, table: &KeyPath, kind: &str, shape: &DiscoveryShape) {
        let given = BTreeMap::from([
            ("name", ("dns", shape.name.is_some())),
            ("port", ("dns", shape.port.is_some())),
            ("servers", ("dns", !shape.servers.is_empty())),
            ("interval_s", ("dns", shape.interval_s.is_some())),
            ("endpoints", ("etcd", !shape.endpoints.is_empty())),
            ("prefix", ("etcd", shape.prefix.is_some())),
            ("namespace", ("kubernetes", shape.namespace.is_some())),
            ("service", ("kubernetes", shape.service.is_some())),
            ("port_name", ("kubernetes", shape.port_name.is_some())),
        ]);
        for (key, (owner, _)) in given.into_iter().filter(|(_, (owner, given))| *given && *owner != kind) {
            self.report(&table.key(key), format!("belongs to kind = \"{owner}\", not to \"{kind}\""));
        }
    }

    fn dns(&mut self, table: &KeyPath, shape: DiscoveryShape) -> Discovery {
        let name = self.needed(&table.key("name"), shape.name, "the DNS name that the nodes are under");
        // The convention of RFC 2782: a service's name begins so, and no host's does.
        let records = if name.starts_with('_') {
            if shape.port.is_some() {
                self.report(&table.key("port"), "SRV records say the port themselves: leave it out");
            }
            Records::Services { name }
        } else {
            let port = shape.port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0);
            if port.is_none() {
                self.report(&table.key("port"), "must be the port of the nodes, from 1 to 65535: `port = 7610`");
            }
            Records::Addresses { name, port: port.unwrap_or_default() }
        };
        let interval_s = shape.interval_s.unwrap_or(INTERVAL_S);
        if !(1..=INTERVAL_LIMIT_S).contains(&interval_s) {
            let message = format!("{interval_s} must be between 1 and {INTERVAL_LIMIT_S} seconds");
            self.report(&table.key("interval_s"), message);
        }
        let longest = Duration::from_secs(u64::try_from(interval_s).unwrap_or_default());
        let mut servers: Vec<SocketAddr> = Vec::new();
        for (at, server) in shape.servers.iter().enumerate() {
            match server.parse() {
                Ok(server) => servers.push(server),
                Err(_) => {
                    let message = format!("`{server}` is not a name server: it takes `IP:PORT`, as `10.0.0.10:53`");
                    self.report(&table.key("servers").index(at), message);
                }
            }
        }
        Discovery::Dns { records, servers, longest }
    }

    fn etcd(&mut self, table: &KeyPath, shape: DiscoveryShape) -> Etcd {
        let key = table.key("endpoints");
        if shape.endpoints.is_empty() {
            self.report(&key, "etcd needs at least one member: endpoints = [\"http://127.0.0.1:2379\"]");
        }
        for (at, url) in shape.endpoints.iter().enumerate().filter(|(_, url)| !super::check::is_node_url(url)) {
            let message = format!("`{url}` is not a member of etcd: it takes `http://HOST:PORT`, or https");
            self.report(&key.index(at), message);
        }
        Etcd { endpoints: shape.endpoints, prefix: shape.prefix.unwrap_or_else(|| PREFIX.to_owned()) }
    }

    pub(super) fn needed(&mut self, key: &KeyPath, text: Option<String>, what: &str) -> String {
        let text = text.unwrap_or_default();
        if text.trim().is_empty() {
            self.report(key, format!("is missing: it takes {what}"));
        }
        text
    }

    fn built_with(&mut self, key: &KeyPath, is_built: bool, feature: &str) {
        if !is_built {
            self.report(key, format!("this synod was built without {feature}: build it with `--features {feature}`"));
        }
    }
}

/// `etcd://` in the clear, `etcds://` over TLS; members after it, and a prefix that ends with a slash.
fn etcd_url(url: &str) -> Option<Etcd> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = match scheme {
        "etcd" => "http",
        "etcds" => "https",
        _ => return None,
    };
    let (members, prefix) = match rest.split_once('/') {
        Some((members, prefix)) if !prefix.is_empty() => (members, format!("/{}/", prefix.trim_end_matches('/'))),
        Some((members, _)) => (members, PREFIX.to_owned()),
        None => (rest, PREFIX.to_owned()),
    };
    let all_right = members.split(',').all(is_host_port);
    all_right
        .then(|| Etcd { endpoints: members.split(',').map(|member| format!("{scheme}://{member}")).collect(), prefix })
}

fn is_host_port(text: &str) -> bool {
    !text.contains("://") && super::check::is_node_url(&format!("http://{text}")) && !text.ends_with('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: Option<(&[&str], &str)>) {
        let read = etcd_url(url).map(|etcd| (etcd.endpoints, etcd.prefix));
        let expected = expected.map(|(endpoints, prefix)| {
            (endpoints.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>(), prefix.to_owned())
        });
        assert_eq!(read, expected, "{url}");
    }

    #[test]
    fn a_registry_names_members_and_perhaps_a_prefix() {
        check("etcd://a:1", Some((&["http://a:1"], "/synod/nodes/")));
        check("etcd://a:1,b:2/", Some((&["http://a:1", "http://b:2"], "/synod/nodes/")));
        check("etcds://a:1/team/nodes", Some((&["https://a:1"], "/team/nodes/")));
        for wrong in ["a:1", "http://a:1", "etcd://", "etcd://a", "etcd://a:1,,b:2", "etcd://a:x"] {
            check(wrong, None);
        }
    }
}
