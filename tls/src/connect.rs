//! Connecting.

use std::{io, sync::Arc};

use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

use crate::tls::Tls;

impl Tls {
    /// A channel that connects when it is first used, and again whenever it must. The endpoint's scheme is `http`:
    /// what is below it is no business of its.
    pub fn channel(self: Arc<Self>, endpoint: &Endpoint) -> Channel {
        endpoint.connect_with_connector_lazy(service_fn(move |uri: Uri| {
            let tls = Arc::clone(&self);
            async move { tls.connect(&uri).await.map(TokioIo::new) }
        }))
    }

    async fn connect(&self, uri: &Uri) -> io::Result<TlsStream<TcpStream>> {
        // The brackets of an IPv6 address belong to the URI.
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(443))).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        TlsConnector::from(self.current().client).connect(name, stream).await
    }
}
