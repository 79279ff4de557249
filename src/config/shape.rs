//! The serde shape of `synod.toml`: everything optional, nothing checked. `check` makes a [`Config`](super::Config)
//! of it.

use std::collections::BTreeMap;

use serde::Deserialize;
use synod_models::store::ManifestShape;

use super::apis::ApisShape;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ConfigShape {
    /// Which topology a question runs through if it names none.
    pub(crate) default_topology: Option<String>,
    /// The aggregator.
    pub(crate) aggregator: AggregatorShape,
    /// The HTTP interface.
    pub(crate) http: HttpShape,
    /// A node that is started by itself.
    pub(crate) node: ThisNodeShape,
    /// Records of runs.
    pub(crate) records: RecordsShape,
    /// Spans.
    pub(crate) telemetry: TelemetryShape,
    /// Certificates.
    pub(crate) tls: TlsShape,
    /// The nodes that `synod up` and a local `synod ask` start.
    pub(crate) nodes: Vec<NodeShape>,
    /// The user's own models.
    pub(crate) models: BTreeMap<String, ManifestShape>,
    /// Calls of APIs.
    pub(crate) apis: ApisShape,
    /// The user's topologies. Opaque here: the aggregator knows what they mean.
    pub(crate) topologies: BTreeMap<String, toml::Value>,
    /// The user's roles, opaque as well.
    pub(crate) roles: BTreeMap<String, toml::Value>,
}

/// `[aggregator]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AggregatorShape {
    /// gRPC address.
    pub(crate) listen: Option<String>,
    /// Where its nodes are, besides those started with it.
    pub(crate) nodes: Vec<String>,
    /// Where else it finds them.
    pub(crate) discovery: DiscoveryShape,
}

/// `[http]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HttpShape {
    /// Its address, or `off`.
    pub(crate) listen: Option<String>,
    /// The file of keys.
    pub(crate) keys: Option<String>,
    /// Web pages whose scripts may ask.
    pub(crate) origins: Vec<String>,
    /// Its certificate.
    pub(crate) cert: Option<String>,
    /// The certificate's key.
    pub(crate) key: Option<String>,
    /// The largest request.
    pub(crate) body_mb: Option<i64>,
    /// The most connections.
    pub(crate) connections: Option<i64>,
}

/// `[aggregator.discovery]`: the keys of all kinds.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DiscoveryShape {
    /// `static`, `dns`, `etcd` or `kubernetes`.
    pub(crate) kind: Option<String>,
    /// DNS: a host's name, or a service's that begins with `_`.
    pub(crate) name: Option<String>,
    /// DNS: the port of all nodes under a host's name.
    pub(crate) port: Option<i64>,
    /// DNS: name servers in place of the system's.
    pub(crate) servers: Vec<String>,
    /// DNS: how often the name is resolved at least.
    pub(crate) interval_s: Option<i64>,
    /// etcd: its members.
    pub(crate) endpoints: Vec<String>,
    /// etcd: what the nodes' keys begin with.
    pub(crate) prefix: Option<String>,
    /// Kubernetes: where the Service is, if not where the aggregator is.
    pub(crate) namespace: Option<String>,
    /// Kubernetes: the nodes' Service.
    pub(crate) service: Option<String>,
    /// Kubernetes: which of its ports, if not the first.
    pub(crate) port_name: Option<String>,
}

/// `[node]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ThisNodeShape {
    /// Where others reach it.
    pub(crate) announce: Option<String>,
    /// Where it says so.
    pub(crate) register: Option<String>,
    /// Where it serves metrics and health.
    pub(crate) metrics: Option<String>,
}

/// `[records]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RecordsShape {
    /// Whether runs are recorded.
    pub(crate) enabled: Option<bool>,
    /// The file.
    pub(crate) path: Option<String>,
    /// How long a run is kept.
    pub(crate) max_age_days: Option<i64>,
    /// How large the file may become.
    pub(crate) max_mb: Option<i64>,
    /// `keep`, `hash` or `drop`.
    pub(crate) texts: Option<String>,
}

/// `[telemetry]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TelemetryShape {
    /// The collector of spans.
    pub(crate) endpoint: Option<String>,
    /// Whether they show texts.
    pub(crate) texts: Option<bool>,
}

/// `[tls]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TlsShape {
    /// Our certificate.
    pub(crate) cert: Option<String>,
    /// Its key.
    pub(crate) key: Option<String>,
    /// Who signs everyone's.
    pub(crate) ca: Option<String>,
    /// The names of nodes.
    pub(crate) nodes: Vec<String>,
    /// The names of callers.
    pub(crate) clients: Vec<String>,
    /// Whether to do without beyond this machine.
    pub(crate) insecure: bool,
}

/// `[[nodes]]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NodeShape {
    /// What it hosts.
    pub(crate) models: Vec<String>,
    /// gRPC address.
    pub(crate) listen: Option<String>,
    /// Threads to compute with.
    pub(crate) threads: Option<i64>,
    /// `cpu` or `wgpu`.
    pub(crate) device: Option<String>,
    /// Where it serves metrics and health.
    pub(crate) metrics: Option<String>,
}
