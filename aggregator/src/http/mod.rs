//! The interface that OpenAI's clients speak, over the same runner as gRPC: every topology and every hosted model is a model.
//!
//! `chat`, `responses` and `embeddings` read a request into an `ask::Wanted`, which becomes runs; what their events mean to a
//! client is in `choice`, and each interface words it in its own way. `access` says who may ask, `server` and `body` hold bad
//! clients off. `docs/http.md` is the user's view.

mod access;
mod answers;
mod ask;
mod body;
mod chat;
mod choice;
mod connections;
mod embeddings;
mod error;
mod extension;
mod format;
mod limits;
mod messages;
mod models;
mod probes;
mod responses;
mod routes;
mod runs;
mod server;
mod sse;
mod tools;

use std::sync::Arc;

use synod_telemetry::Probes;
use synod_tls::ServerTls;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use access::{KeyFile, KeyFileError, KeyRecord, Keys};
pub use limits::HttpLimits;

use crate::{discovery::Pool, runs::Runner};

/// Where HTTP is served, and to whom.
pub struct Http {
    /// Bound already.
    pub listener: TcpListener,
    /// Who may ask.
    pub keys: Keys,
    /// Web pages whose scripts may ask, as origins; none by default, `*` for all.
    pub origins: Vec<String>,
    /// How callers know who we are; none for in the clear.
    pub tls: Option<Arc<ServerTls>>,
    /// Every bound.
    pub limits: HttpLimits,
}

/// What all requests share.
struct App {
    runner: Arc<Runner>,
    pool: Arc<Pool>,
    probes: Probes,
    keys: Keys,
    limits: HttpLimits,
    /// Only this machine can reach us. Then names of other machines in requests are somebody's trick (DNS rebinding).
    is_local: bool,
    /// Seconds since 1970, as models were "created".
    began: u64,
}

impl Http {
    /// Serves until told to close, then finishes the requests under way.
    pub(crate) async fn serve(self, runner: Arc<Runner>, pool: Arc<Pool>, close: CancellationToken) {
        let Self { listener, keys, origins, tls, limits } = self;
        let is_local = listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let began = now.map_or(0, |since| since.as_secs());
        let probes = probes::probes(&runner, &pool);
        let app = Arc::new(App { runner, pool, probes, keys, limits: limits.clone(), is_local, began });
        server::serve(listener, tls, routes::router(app, &origins), limits, close).await;
    }
}
