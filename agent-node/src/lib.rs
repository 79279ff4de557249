//! A node: hosts models and serves them as `synod.v1.NodeService`. Knows nothing of topologies or of the aggregator.
//!
//! [`Host`] loads the models, [`serve`] answers for them until it is told to stop.

mod act;
pub mod apis;
mod call;
mod drain;
mod embed;
mod generate;
mod host;
mod monitor;
mod prompt;
mod queue;
#[cfg(feature = "etcd")]
mod register;
mod request;
mod search;
mod serve;
mod service;
mod speed;
mod status;
mod stream;
mod told;

pub use host::{Host, HostError, LoadProgress, ModelLimits, ModelSpec};
pub use monitor::Monitor;
#[cfg(feature = "etcd")]
pub use register::Registration;
pub use serve::{ServeError, ServeOptions, serve, serve_incoming, serve_tls};
pub use service::ServiceLimits;
