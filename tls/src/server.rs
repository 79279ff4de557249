//! TLS for callers who show no certificate: the server proves who it is, and callers do so with a key of their own.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, pem::PemObject},
};
use tokio::{net::TcpStream, time::Instant};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    error::TlsError,
    files::{certificates, wrong},
};

/// How often the files are looked at, at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// One-sided TLS from two files. Each new connection uses what they hold then.
pub struct ServerTls {
    cert: PathBuf,
    key: PathBuf,
    state: Mutex<State>,
}

struct State {
    looked: Instant,
    contents: [Vec<u8>; 2],
    config: Arc<ServerConfig>,
}

impl ServerTls {
    /// Reads the certificate chain and its private key, both PEM.
    ///
    /// # Errors
    /// A file is missing or wrong, or they do not belong together.
    pub fn open(cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Result<Self, TlsError> {
        let (cert, key) = (cert.into(), key.into());
        let contents = [read(&cert)?, read(&key)?];
        let config = config(&cert, &key, &contents)?;
        Ok(Self { cert, key, state: Mutex::new(State { looked: Instant::now(), contents, config }) })
    }

    /// The handshake with a caller.
    ///
    /// # Errors
    /// The caller speaks no TLS, or not with us.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        TlsAcceptor::from(self.current()).accept(stream).await
    }

    fn current(&self) -> Arc<ServerConfig> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() >= LOOK_EVERY {
            state.looked = Instant::now();
            let read = read(&self.cert).and_then(|cert| Ok([cert, read(&self.key)?]));
            match read.and_then(|contents| match contents == state.contents {
                true => Ok(None),
                false => config(&self.cert, &self.key, &contents).map(|config| Some((contents, config))),
            }) {
                Ok(None) => {}
                Ok(Some((contents, config))) => (state.contents, state.config) = (contents, config),
                Err(error) => {
                    tracing::warn!(%error, "certificates changed and cannot be used; going on with those before")
                }
            }
        }
        Arc::clone(&state.config)
    }
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerTls").field("cert", &self.cert).field("key", &self.key).finish_non_exhaustive()
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

fn config(cert: &Path, key: &Path, [chain, secret]: &[Vec<u8>; 2]) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = certificates(cert, chain)?;
    let secret = PrivateKeyDer::from_pem_slice(secret).map_err(|source| wrong(key, "a private key", source))?;
    let unusable = |source| TlsError::Certificate { cert: cert.to_owned(), key: key.to_owned(), source };
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    // TLS 1.3 alone, as between Synod's processes: every client of the last years speaks it.
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).map_err(unusable)?;
    let mut config = builder.with_no_client_auth().with_single_cert(chain, secret).map_err(unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
