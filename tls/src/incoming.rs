//! Accepting connections.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{Stream, StreamExt, future::ready};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::server::Connected;

use crate::tls::Tls;

/// How long a caller may take to say who it is.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Callers who are saying so at a time; more wait to be accepted.
const HANDSHAKES: usize = 256;

impl Tls {
    /// The connections of callers who have proved who they are. Others are turned away with a line in the log.
    pub fn incoming(
        self: Arc<Self>,
        listener: TcpListener,
    ) -> impl Stream<Item = io::Result<SecureStream>> + Send + use<> {
        TcpListenerStream::new(listener)
            .map(move |accepted| {
                let tls = Arc::clone(&self);
                async move {
                    match accepted {
                        Ok(stream) => tls.admit(stream).await.map(Ok),
                        Err(error) => Some(Err(error)),
                    }
                }
            })
            .buffer_unordered(HANDSHAKES)
            .filter_map(ready)
    }

    async fn admit(&self, stream: TcpStream) -> Option<SecureStream> {
        let peer = stream.peer_addr().ok();
        // Tokens are small: without this they wait for one another.
        let _ = stream.set_nodelay(true);
        let acceptor = TlsAcceptor::from(self.current().server);
        let refused = match timeout(HANDSHAKE, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => return Some(SecureStream(stream)),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no handshake within {HANDSHAKE:?}"),
        };
        let peer = peer.map(|peer| peer.to_string()).unwrap_or_default();
        tracing::info!(peer, error = refused, "turned away a connection without a good certificate");
        None
    }
}

/// A connection whose both ends are known.
#[derive(Debug)]
pub struct SecureStream(TlsStream<TcpStream>);

impl Connected for SecureStream {
    type ConnectInfo = Option<SocketAddr>;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.0.get_ref().0.peer_addr().ok()
    }
}

impl AsyncRead for SecureStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for SecureStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
