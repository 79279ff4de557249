//! The serde shape of `synod.toml`: everything optional, nothing checked. `check` makes a [`Config`](super::Config)
//! of it.

use std::collections::BTreeMap;

use serde::Deserialize;
use synod_models::store::ManifestShape;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ConfigShape {
    /// Which topology a question runs through if it names none.
    pub(crate) default_topology: Option<String>,
    /// The aggregator.
    pub(crate) aggregator: AggregatorShape,
    /// The nodes that `synod up` and a local `synod ask` start.
    pub(crate) nodes: Vec<NodeShape>,
    /// The user's own models.
    pub(crate) models: BTreeMap<String, ManifestShape>,
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
    /// HTTP address.
    pub(crate) http: Option<String>,
    /// Where its nodes are, besides those started with it.
    pub(crate) nodes: Vec<String>,
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
}
