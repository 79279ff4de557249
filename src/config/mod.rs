//! The configuration: `synod.toml`, environment and flags, merged and checked.
//!
//! Layers, weakest first: what is built in, `synod/synod.toml` in the XDG config folder, `./synod.toml` (or the file
//! of `--config`), variables such as `SYNOD__AGGREGATOR__LISTEN`, flags. Two types: [`shape`] is what serde reads,
//! [`Config`] what the program relies on. All mistakes are reported at once.

mod apis;
mod check;
mod document;
mod http;
pub(crate) mod key;
mod load;
pub(crate) mod mistake;
mod network;
mod origins;
mod records;
mod shape;
mod telemetry;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use synod_aggregator::discovery;
use synod_aggregator::records::Texts;
use synod_models::{engine::Device, store::Manifest};
use synod_tls::{Names, TlsFiles};

pub(crate) use apis::Apis;
pub(crate) use http::HttpConfig;
pub(crate) use load::Layers;
pub(crate) use mistake::Mistakes;
use origins::Origins;
pub(crate) use telemetry::Telemetry;

/// A configuration without mistakes.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Which topology a question runs through if it names none.
    pub(crate) default_topology: String,
    /// The aggregator.
    pub(crate) aggregator: Aggregator,
    /// The HTTP interface.
    pub(crate) http: HttpConfig,
    /// A node that is started by itself.
    pub(crate) node: ThisNode,
    /// Records of runs.
    pub(crate) records: Records,
    /// Where spans go.
    pub(crate) telemetry: Telemetry,
    /// Certificates for all connections to and from other machines.
    pub(crate) tls: Option<TlsConfig>,
    /// Whether connections in the clear may leave this machine.
    pub(crate) insecure: bool,
    /// The nodes to start; none means those the topology needs.
    pub(crate) nodes: Vec<Node>,
    /// The user's own models, for [`Store::with_manifests`](synod_models::store::Store::with_manifests).
    pub(crate) models: Vec<Manifest>,
    /// How calls of APIs are carried out.
    pub(crate) apis: Apis,
    /// The user's topologies, for the aggregator to check.
    pub(crate) topologies: BTreeMap<String, toml::Value>,
    /// The user's roles, for the aggregator to check.
    pub(crate) roles: BTreeMap<String, toml::Value>,
    /// Where each key was written: `origins.mistake(&KeyPath::of(["topologies", name]).join("stages[0].kind"), …)`.
    pub(crate) origins: Origins,
}

/// What an aggregator listens on and whom it asks.
#[derive(Debug, Clone)]
pub(crate) struct Aggregator {
    /// gRPC.
    pub(crate) listen: SocketAddr,
    /// Nodes that are started by somebody else.
    pub(crate) nodes: Vec<String>,
    /// Where it finds out about nodes.
    pub(crate) discovery: Discovery,
}

/// Where an aggregator finds out about nodes.
#[derive(Debug, Clone)]
pub(crate) enum Discovery {
    /// In [`Aggregator::nodes`], read again when the file changes.
    Static,
    /// Under a DNS name.
    Dns {
        /// The name.
        records: discovery::Records,
        /// Whom to ask; the system's where there are none.
        servers: Vec<SocketAddr>,
        /// How often at least.
        longest: Duration,
    },
    /// Where nodes register.
    Etcd(Etcd),
    /// Behind a Service.
    Kubernetes {
        /// The aggregator's own where there is none.
        namespace: Option<String>,
        /// Its name.
        service: String,
        /// The first where there is none.
        port_name: Option<String>,
    },
}

/// Whether and where runs are recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Records {
    /// Whether they are.
    pub(crate) enabled: bool,
    /// The file, if not the usual one.
    pub(crate) path: Option<PathBuf>,
    /// How long a run is kept.
    pub(crate) max_age: Duration,
    /// How large the file may become.
    pub(crate) max_bytes: u64,
    /// What becomes of what people and models wrote.
    pub(crate) texts: Texts,
}

/// An etcd, and where in it nodes are.
#[derive(Debug, Clone)]
#[cfg_attr(not(feature = "etcd"), allow(dead_code, reason = "checked all the same"))]
pub(crate) struct Etcd {
    /// URLs.
    pub(crate) endpoints: Vec<String>,
    /// What the nodes' keys begin with.
    pub(crate) prefix: String,
}

/// What a node tells others.
#[derive(Debug, Clone)]
pub(crate) struct ThisNode {
    /// Where they reach it, if not where it listens.
    pub(crate) announce: Option<String>,
    /// Where it says so.
    pub(crate) register: Option<Etcd>,
    /// Where it serves metrics and health over HTTP, if it does.
    pub(crate) metrics: Option<SocketAddr>,
}

/// Certificates, and whose are accepted.
#[derive(Debug, Clone)]
pub(crate) struct TlsConfig {
    /// Where they are.
    pub(crate) files: TlsFiles,
    /// Whose.
    pub(crate) names: Names,
}

/// A node to start.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// What it hosts, at least one.
    pub(crate) models: Vec<String>,
    /// gRPC.
    pub(crate) listen: SocketAddr,
    /// Threads to compute with; none means as many as there are cores.
    pub(crate) threads: Option<NonZeroUsize>,
    /// What it computes on.
    pub(crate) device: Device,
    /// Where it serves metrics and health over HTTP, if it does.
    pub(crate) metrics: Option<SocketAddr>,
}
