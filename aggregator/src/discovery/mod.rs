//! Which nodes there are, and how they do.
//!
//! Discovery decides who *exists*; the pool looks at each node itself and decides who is *used*. A backend that goes
//! away changes nothing that runs.

mod entry;
mod fixed;
mod look;
mod pool;

use futures::stream::BoxStream;

pub(crate) use entry::Entry;
pub use entry::{Hosted, NodeState, NodeStatus};
pub use fixed::Fixed;
pub use pool::{Connect, NodeInfo, Pool};

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
