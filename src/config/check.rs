//! From the shape to a [`Config`] that can be relied on, finding every mistake on the way.

use std::collections::BTreeMap;
use std::iter;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;

use synod_models::{
    engine::Device,
    store::{Manifest, ManifestShape, Store, nearest},
};

use super::key::KeyPath;
use super::mistake::{Mistake, Mistakes};
use super::origins::Origins;
use super::shape::{AggregatorShape, ConfigShape, NodeShape};
use super::{Aggregator, Config, HttpConfig, Node};

/// Ports of the machine itself, as they are when nothing else is said.
const AGGREGATOR_PORT: u16 = 7600;
const FIRST_NODE_PORT: u16 = 7610;
const THREADS_LIMIT: usize = 1024;
const DEFAULT_TOPOLOGY: &str = "moa";

/// Checks the merged values. `mistakes` are those found before.
pub(super) fn check(shape: ConfigShape, origins: Origins, mistakes: Vec<Mistake>) -> Result<Config, Mistakes> {
    let mut checker = Checker { origins: &origins, mistakes };
    let models = checker.models(shape.models);
    let known = known_models(&models);
    let nodes: Vec<_> = shape.nodes.into_iter().enumerate().map(|(at, node)| checker.node(at, node, &known)).collect();
    let aggregator = checker.aggregator(shape.aggregator);
    let http = checker.http(shape.http);
    let insecure = shape.tls.insecure;
    let tls = checker.tls(shape.tls);
    let node = checker.this_node(shape.node);
    let apis = checker.apis(shape.apis);
    let records = checker.records(shape.records);
    let telemetry = checker.telemetry(shape.telemetry);
    let default_topology = shape.default_topology.unwrap_or_else(|| DEFAULT_TOPOLOGY.to_owned());
    if default_topology.trim().is_empty() {
        checker.report(&KeyPath::of(["default_topology"]), "must be the name of a topology, for instance `moa`");
    }
    checker.same_addresses(&aggregator, &http, &nodes);
    if !checker.mistakes.is_empty() {
        return Err(Mistakes::new(checker.mistakes));
    }
    Ok(Config {
        default_topology,
        aggregator,
        http,
        node,
        records,
        telemetry,
        tls,
        insecure,
        nodes,
        models,
        apis,
        topologies: shape.topologies,
        roles: shape.roles,
        origins,
    })
}

/// Every name a node may host.
fn known_models(own: &[Manifest]) -> Vec<String> {
    let store = Store::at("").map(|store| store.with_manifests(own.to_vec()));
    store.map(|store| store.manifests().map(|manifest| manifest.name.clone()).collect()).unwrap_or_default()
}

pub(super) struct Checker<'a> {
    origins: &'a Origins,
    mistakes: Vec<Mistake>,
}

impl Checker<'_> {
    pub(super) fn report(&mut self, key: &KeyPath, message: impl Into<String>) {
        // What is missing because it was wrong has been reported as wrong.
        if !self.origins.is_reported(key) {
            self.mistakes.push(self.origins.mistake(key, message));
        }
    }

    fn models(&mut self, shapes: BTreeMap<String, ManifestShape>) -> Vec<Manifest> {
        let mut manifests = Vec::new();
        for (name, shape) in shapes {
            match shape.build(&name) {
                Ok(manifest) => manifests.push(manifest),
                Err(mistakes) => {
                    let table = KeyPath::of(["models", &name]);
                    mistakes.into_iter().for_each(|one| self.report(&table.join(&one.key), one.message));
                }
            }
        }
        manifests
    }

    fn aggregator(&mut self, shape: AggregatorShape) -> Aggregator {
        let table = KeyPath::of(["aggregator"]);
        let nodes = table.key("nodes");
        for (at, url) in shape.nodes.iter().enumerate() {
            if !is_node_url(url) {
                let message = format!("`{url}` is not a node's address: it takes `http://HOST:PORT`");
                self.report(&nodes.index(at), message);
            }
        }
        Aggregator {
            listen: self.address(&table.key("listen"), shape.listen, AGGREGATOR_PORT),
            nodes: shape.nodes,
            discovery: self.discovery(shape.discovery),
        }
    }

    fn node(&mut self, at: usize, shape: NodeShape, known: &[String]) -> Node {
        let table = KeyPath::of(["nodes"]).index(at);
        if shape.models.is_empty() {
            self.report(&table.key("models"), "a node needs at least one model: models = [\"smollm2-135m-instruct\"]");
        }
        for (index, name) in shape.models.iter().enumerate().filter(|(_, name)| !known.contains(name)) {
            let right = match nearest(name, known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known: {}", known.join(", ")),
            };
            self.report(&table.key("models").index(index), format!("there is no model `{name}`; {right}"));
        }
        let default_port = FIRST_NODE_PORT.saturating_add(u16::try_from(at).unwrap_or(u16::MAX));
        Node {
            listen: self.address(&table.key("listen"), shape.listen, default_port),
            threads: shape.threads.and_then(|threads| self.threads(&table.key("threads"), threads)),
            device: self.device(&table.key("device"), shape.device.as_deref()),
            metrics: self.metrics(&table.key("metrics"), shape.metrics),
            models: shape.models,
        }
    }

    pub(super) fn address(&mut self, key: &KeyPath, text: Option<String>, default_port: u16) -> SocketAddr {
        let default = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), default_port);
        let Some(text) = text else { return default };
        text.parse().unwrap_or_else(|_| {
            self.report(key, format!("`{text}` is not an address: it takes `IP:PORT`, for instance `{default}`"));
            default
        })
    }

    fn threads(&mut self, key: &KeyPath, threads: i64) -> Option<NonZeroUsize> {
        let number = usize::try_from(threads).ok().and_then(NonZeroUsize::new);
        let number = number.filter(|number| number.get() <= THREADS_LIMIT);
        if number.is_none() {
            self.report(key, format!("{threads} must be between 1 and {THREADS_LIMIT}"));
        }
        number
    }

    fn device(&mut self, key: &KeyPath, name: Option<&str>) -> Device {
        let Some(name) = name else { return Device::Cpu };
        Device::from_name(name).unwrap_or_else(|| {
            self.report(key, format!("there is no device `{name}`: it takes `cpu` or `wgpu`"));
            Device::Cpu
        })
    }

    /// Two servers cannot have one address; port 0 means any free one.
    fn same_addresses(&mut self, aggregator: &Aggregator, http: &HttpConfig, nodes: &[Node]) {
        let mut taken = vec![(aggregator.listen, KeyPath::of(["aggregator", "listen"]))];
        let http = http.listen.map(|listen| (listen, KeyPath::of(["http", "listen"])));
        let others = nodes.iter().enumerate().flat_map(|(at, node)| {
            let table = KeyPath::of(["nodes"]).index(at);
            let metrics = node.metrics.map(|metrics| (metrics, table.key("metrics")));
            iter::once((node.listen, table.key("listen"))).chain(metrics)
        });
        for (address, key) in http.into_iter().chain(others) {
            let same = taken.iter().find(|(other, _)| *other == address && address.port() != 0);
            if let Some((_, other)) = same {
                let message = format!("{address} is taken by {other}; give each its own port");
                self.report(&key, message);
            }
            taken.push((address, key));
        }
    }
}

/// `http://` or `https://`, a host, and nothing after the port.
pub(super) fn is_node_url(url: &str) -> bool {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let authority = rest.map(|rest| rest.strip_suffix('/').unwrap_or(rest));
    authority.and_then(|authority| authority.rsplit_once(':')).is_some_and(|(host, port)| {
        let clean = !host.is_empty() && !host.contains(['/', '@', '?', '#', ' ']);
        clean && port.parse::<u16>().is_ok_and(|port| port != 0)
    })
}
