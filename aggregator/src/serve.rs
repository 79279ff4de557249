//! An aggregator from start to stop. It binds nothing and listens to no signal: both are its caller's.

use std::{future::Future, sync::Arc};

use futures::{FutureExt, future::BoxFuture};
use synod_proto::{FILE_DESCRIPTOR_SET, v1::aggregator_service_server::AggregatorServiceServer};
use thiserror::Error;
use tokio::{net::TcpListener, task::JoinSet, time::timeout};
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use crate::{
    discovery::{Discovery, Fixed, Pool, Transport},
    http::Http,
    limits::Limits,
    prompts::Prompts,
    records::{self, Recorder},
    runs::Runner,
    service::Service,
    topology::Topologies,
    window::Window,
};

/// How long connections may take to close once no run is left.
const CLOSING: std::time::Duration = std::time::Duration::from_secs(2);

/// The longest message that goes out: a record with all its prompts. Clients of ours read as much.
const RECORD_BYTES: usize = 16 << 20;

/// What an aggregator is made of.
pub struct Options {
    /// The nodes, as URLs or `host:port`.
    pub nodes: Vec<String>,
    /// The topologies, with the default among them.
    pub topologies: Topologies,
    /// The prompt texts.
    pub prompts: Prompts,
    /// Every bound.
    pub limits: Limits,
    /// Where runs are recorded, if they are.
    pub records: Option<records::Settings>,
}

/// Why an aggregator did not start or did not stay.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The descriptor set cannot be served.
    #[error("building the reflection service")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The transport failed.
    #[error("serving gRPC")]
    Transport(#[from] tonic::transport::Error),
}

/// Serves until the future completes, then drains: no new questions, runs in flight get their time, then it returns.
pub async fn serve(
    listener: TcpListener,
    options: Options,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let discovery = Box::new(Fixed::new(options.nodes.clone()));
    serve_with(listener, Network { discovery, transport: Transport::insecure() }, options, shutdown).await
}

/// Whom an aggregator has to do with.
pub struct Network {
    /// Where nodes are found; those of [`Options`] don't count.
    pub discovery: Box<dyn Discovery>,
    /// How nodes are reached, and with the same certificates how callers are served: those who show none are refused.
    pub transport: Transport,
}

/// [`serve`] within a network.
pub async fn serve_with(
    listener: TcpListener,
    network: Network,
    options: Options,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    serve_both(listener, None, network, options, shutdown).await
}

/// [`serve_with`], and HTTP beside gRPC where there is any.
pub async fn serve_both(
    listener: TcpListener,
    http: Option<Http>,
    network: Network,
    options: Options,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    serve_watched(listener, http, network, options, Window::default(), shutdown).await
}

/// [`serve_both`], seen through a window.
pub async fn serve_watched(
    listener: TcpListener,
    http: Option<Http>,
    network: Network,
    options: Options,
    window: Window,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let recorder = options.records.clone().map(Recorder::start);
    let served = serve_recorded(listener, http, network, options, recorder.clone(), window, shutdown).await;
    if let Some(recorder) = recorder {
        recorder.close().await;
    }
    served
}

async fn serve_recorded(
    listener: TcpListener,
    http: Option<Http>,
    network: Network,
    options: Options,
    recorder: Option<Arc<Recorder>>,
    window: Window,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let Options { topologies, prompts, limits, .. } = options;
    let tls = network.transport.tls.clone();
    let pool = Arc::new(Pool::start_over(network.discovery, network.transport, limits.clone()));
    let runner = Arc::new(Runner::recording(pool.clone(), topologies, prompts, limits.clone(), recorder));
    window.open(&runner, &pool);
    let closed = CancellationToken::new();
    // Dropped with this future, and what it serves with it.
    let mut web = JoinSet::new();
    if let Some(http) = http {
        web.spawn(http.serve(Arc::clone(&runner), Arc::clone(&pool), closed.clone()));
    }
    let service = AggregatorServiceServer::new(Service { runner: Arc::clone(&runner), pool })
        .max_decoding_message_size(limits.grpc_message_bytes)
        .max_encoding_message_size(RECORD_BYTES.max(limits.grpc_message_bytes));
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<AggregatorServiceServer<Service>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    // Many clients, grpcurl among them, still ask for the alpha.
    let reflection_alpha = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1alpha()?;
    let router = Server::builder()
        .http2_keepalive_interval(Some(limits.poll_interval * 5))
        .http2_keepalive_timeout(Some(limits.poll_timeout))
        .tcp_nodelay(true)
        .add_service(health_service)
        .add_service(reflection)
        .add_service(reflection_alpha)
        .add_service(service);
    let close = closed.clone().cancelled_owned();
    let mut server: BoxFuture<'_, _> = match tls {
        Some(tls) => router.serve_with_incoming_shutdown(tls.incoming(listener), close).boxed(),
        None => router.serve_with_incoming_shutdown(TcpListenerStream::new(listener), close).boxed(),
    };
    tokio::select! {
        ended = &mut server => return Ok(ended?),
        () = shutdown => {}
    }
    tracing::info!("draining");
    health.set_service_status("", tonic_health::ServingStatus::NotServing).await;
    health.set_not_serving::<AggregatorServiceServer<Service>>().await;
    // The server goes on while runs finish: their events, and the refusals of new questions, still have to go out.
    tokio::select! {
        ended = &mut server => return Ok(ended?),
        () = runner.drain(limits.drain) => {}
    }
    closed.cancel();
    let both = async { futures::join!(server, async { while web.join_next().await.is_some() {} }) };
    match timeout(CLOSING, both).await {
        Ok((ended, ())) => Ok(ended?),
        // A client that keeps its connection open keeps nobody here.
        Err(_) => Ok(()),
    }
}
