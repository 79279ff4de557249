//! Which nodes there are, and how they do.
//!
//! Discovery decides who *exists*; the pool looks at each node itself and decides who is *used*. A backend that goes
//! away changes nothing that runs.

mod changes;
mod dns;
mod entry;
#[cfg(feature = "etcd")]
mod etcd;
mod fixed;
mod health;
#[cfg(feature = "kubernetes")]
mod kubernetes;
mod look;
mod pauses;
mod pool;
mod reread;
mod transport;

use futures::stream::BoxStream;

pub use dns::{Dns, DnsError, Records};
pub(crate) use entry::Entry;
pub use entry::{Hosted, NodeState, NodeStatus};
#[cfg(feature = "etcd")]
pub use etcd::Etcd;
pub use fixed::Fixed;
#[cfg(feature = "kubernetes")]
pub use kubernetes::{Kubernetes, KubernetesError};
pub use pool::{NodeInfo, Pool};
pub use reread::Reread;
pub use transport::{Connect, Transport};

/// A change of who exists. Addresses are URLs, or `host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update {
    /// These and no others.
    Reset(Vec<String>),
    /// This one too.
    Add(String),
    /// This one no more.
    Remove(String),
}

/// Where nodes are found.
pub trait Discovery: Send + 'static {
    /// The changes, beginning with a reset; when it ends, what was last said holds.
    fn updates(self: Box<Self>) -> BoxStream<'static, Update>;
}
