//! Connections from accept to close. axum's own server would wait for ever for a head, or for a client that doesn't read.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::Request, response::Response};
use http_body_util::BodyExt;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use synod_tls::ServerTls;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{
    connections::{Connections, Place},
    limits::HttpLimits,
};

/// After an error of accept, which usually says that the process has no more file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until told to close, then finishes the requests under way.
pub(super) async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerTls>>,
    router: Router,
    limits: HttpLimits,
    close: CancellationToken,
) {
    // Dropped with this future, and so are those that are open then.
    let (connections, mut tasks) = (Connections::new(limits.connections), JoinSet::new());
    loop {
        let accepted = tokio::select! {
            biased;
            () = close.cancelled() => break,
            Some(_) = tasks.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "accepting an HTTP connection");
                sleep(PAUSE).await;
                continue;
            }
        };
        let Some(place) = connections.enter() else {
            tracing::warn!(limit = limits.connections, "turned away an HTTP connection: all places are busy");
            continue;
        };
        tasks.spawn(connection(stream, tls.clone(), router.clone(), limits.clone(), place, close.clone()));
    }
    while tasks.join_next().await.is_some() {}
}

async fn connection(
    stream: TcpStream,
    tls: Option<Arc<ServerTls>>,
    router: Router,
    limits: HttpLimits,
    place: Place,
    close: CancellationToken,
) {
    // Tokens are small: without this they wait for one another.
    let _ = stream.set_nodelay(true);
    let ended = match tls {
        None => talk(stream, router, &limits, place, close).await,
        Some(tls) => match timeout(limits.head, tls.accept(stream)).await {
            Ok(Ok(stream)) => talk(stream, router, &limits, place, close).await,
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no handshake within {:?}", limits.head)),
        },
    };
    if let Err(error) = ended {
        tracing::debug!(error, "an HTTP connection ended");
    }
}

/// Serves the requests of a connection until either side is done with it.
async fn talk(
    stream: impl AsyncRead + AsyncWrite + Send + 'static,
    router: Router,
    limits: &HttpLimits,
    place: Place,
    close: CancellationToken,
) -> Result<(), String> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limits.write));
    let serving = place.clone();
    let service = service_fn(move |request: hyper::Request<Incoming>| answer(router.clone(), request, serving.clone()));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limits.head);
    builder.max_headers(limits.headers).max_buf_size(limits.head_bytes);
    let mut talking = std::pin::pin!(builder.serve_connection(TokioIo::new(Box::pin(stream)), service));
    let ended = tokio::select! {
        ended = talking.as_mut() => return ended.map_err(|error| error.to_string()),
        () = place.closed() => Err("its place was needed".to_owned()),
        () = close.cancelled() => Ok(()),
    };
    if ended.is_ok() {
        talking.as_mut().graceful_shutdown();
        return talking.await.map_err(|error| error.to_string());
    }
    ended
}

/// One request. It counts as under way until the last of its body is written.
async fn answer(router: Router, request: hyper::Request<Incoming>, place: Place) -> Result<Response, Infallible> {
    let busy = place.busy();
    let request: Request = request.map(Body::new);
    let response = router.oneshot(request).await?;
    Ok(response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            let _held = &busy;
            frame
        }))
    }))
}
