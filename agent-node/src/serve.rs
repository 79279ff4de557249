//! A node on the network, from its first connection to its last.

use std::{sync::Arc, time::Duration};

use futures::Stream;
use synod_proto::v1::node_service_server::{NodeServiceServer, SERVICE_NAME};
use synod_tls::Tls;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};
use tokio_util::sync::CancellationToken;
use tonic::transport::{
    Server,
    server::{Connected, Router, TcpIncoming},
};
use tonic_health::{ServingStatus, server::HealthReporter};
use uuid::Uuid;

use crate::{
    apis::{Library, execute::Executor},
    drain::Drain,
    host::Host,
    monitor::Monitor,
    service::{NodeService, ServiceLimits},
};

/// How long connections get to close once nothing runs on them.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Headers of one request: ours are small, and gRPC's own default is 8 KiB.
const MAX_HEADER_BYTES: u32 = 16 << 10;

/// How a node serves.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Tells this process from others that host the same models.
    pub node_id: String,
    /// Bytes of one message, either way.
    pub max_message_bytes: usize,
    /// Requests at a time on one connection.
    pub max_streams_per_connection: u32,
    /// How long a connection is silent before it is asked whether anybody is there.
    pub keepalive_interval: Duration,
    /// How long the answer may take; then its requests are dropped.
    pub keepalive_timeout: Duration,
    /// How long running requests may go on after the shutdown signal.
    pub drain_grace: Duration,
    /// What one request may ask for.
    pub limits: ServiceLimits,
    /// Cancelled once the node takes no more requests: whoever told others of it tells them that it leaves.
    pub leaving: CancellationToken,
    /// The APIs that callers may search; none where the node has no library.
    pub apis: Option<Arc<Library>>,
    /// What carries out calls for callers who want that; none where only calls are written.
    pub executor: Option<Arc<Executor>>,
    /// Who watches it.
    pub monitor: Arc<Monitor>,
}

impl ServeOptions {
    /// A new node id, messages of 4 MiB, and ten seconds for what runs at the end.
    #[must_use]
    pub fn recommended() -> Self {
        Self {
            node_id: Uuid::now_v7().to_string(),
            max_message_bytes: 4 << 20,
            max_streams_per_connection: 256,
            keepalive_interval: Duration::from_secs(20),
            keepalive_timeout: Duration::from_secs(10),
            drain_grace: Duration::from_secs(10),
            limits: ServiceLimits::recommended(),
            leaving: CancellationToken::new(),
            apis: None,
            executor: None,
            monitor: Arc::default(),
        }
    }
}

/// Why a node could not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The protocol's description, which reflection serves, cannot be read.
    #[error("cannot set up gRPC reflection")]
    Reflection(#[source] Box<tonic_reflection::server::Error>),
    /// The server failed.
    #[error("cannot serve gRPC")]
    Serve(#[source] tonic::transport::Error),
}

/// Serves `host` on `listener` until `shutdown` resolves and what runs has ended.
///
/// Then health turns to NOT_SERVING and new requests are refused with UNAVAILABLE at once; running ones go on for
/// [`ServeOptions::drain_grace`], and what is left is ended with UNAVAILABLE.
///
/// # Errors
/// When the server cannot be set up, or fails.
pub async fn serve(
    listener: TcpListener,
    host: Arc<Host>,
    options: ServeOptions,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    // Tokens are small: without this they wait for one another.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    serve_incoming(incoming, host, options, shutdown).await
}

/// As [`serve`], for callers who show a certificate.
///
/// # Errors
/// Those of [`serve`].
pub async fn serve_tls(
    listener: TcpListener,
    tls: Arc<Tls>,
    host: Arc<Host>,
    options: ServeOptions,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    serve_incoming(tls.incoming(listener), host, options, shutdown).await
}

/// As [`serve`], on connections of any kind.
///
/// # Errors
/// Those of [`serve`].
pub async fn serve_incoming<I, IO, E>(
    incoming: I,
    host: Arc<Host>,
    options: ServeOptions,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError>
where
    I: Stream<Item = Result<IO, E>>,
    IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (drain, mut health, close) = (Drain::new(), HealthReporter::new(), CancellationToken::new());
    options.monitor.serves(&host, &options.leaving);
    set_health(&health, ServingStatus::Serving).await;
    let router = router(host, &options, &drain, &health)?;
    let server = router.serve_with_incoming_shutdown(incoming, close.clone().cancelled_owned());
    tokio::pin!(server);
    tokio::select! {
        ended = &mut server => return ended.map_err(ServeError::Serve),
        () = shutdown => {}
    }
    tracing::info!(running = drain.running(), grace_ms = options.drain_grace.as_millis(), "draining");
    drain.refuse();
    set_health(&health, ServingStatus::NotServing).await;
    options.leaving.cancel();
    // Connections are still accepted, so that whoever comes is told to ask another node.
    tokio::select! {
        ended = &mut server => return ended.map_err(ServeError::Serve),
        () = drain.finish(options.drain_grace) => {}
    }
    // Ends the streams of those who watch.
    health.clear_service_status("").await;
    health.clear_service_status(SERVICE_NAME).await;
    close.cancel();
    match tokio::time::timeout(CLOSE_TIMEOUT, server).await {
        Ok(ended) => ended.map_err(ServeError::Serve),
        Err(_) => {
            tracing::debug!("leaving connections that did not close");
            Ok(())
        }
    }
}

async fn set_health(health: &HealthReporter, status: ServingStatus) {
    health.set_service_status("", status).await;
    health.set_service_status(SERVICE_NAME, status).await;
}

fn router(
    host: Arc<Host>,
    options: &ServeOptions,
    drain: &Drain,
    health: &HealthReporter,
) -> Result<Router, ServeError> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(synod_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // Of the protocol's services a node serves one.
            .with_service_name(SERVICE_NAME)
            .with_service_name(tonic_health::pb::health_server::SERVICE_NAME)
    };
    let failed = |error| ServeError::Reflection(Box::new(error));
    let health = tonic_health::server::HealthService::from_health_reporter(health.clone());
    let (node_id, monitor) = (options.node_id.clone(), Arc::clone(&options.monitor));
    let apis = (options.apis.clone(), options.executor.clone());
    let node = NodeService::new(host, node_id, options.limits, drain.clone(), apis, monitor);
    let node = NodeServiceServer::new(node)
        .max_decoding_message_size(options.max_message_bytes)
        .max_encoding_message_size(options.max_message_bytes);
    Ok(Server::builder()
        .max_concurrent_streams(options.max_streams_per_connection)
        .http2_keepalive_interval(Some(options.keepalive_interval))
        .http2_keepalive_timeout(Some(options.keepalive_timeout))
        .http2_max_header_list_size(MAX_HEADER_BYTES)
        .add_service(tonic_health::pb::health_server::HealthServer::new(health))
        .add_service(reflection().build_v1().map_err(failed)?)
        .add_service(reflection().build_v1alpha().map_err(failed)?)
        .add_service(node))
}
