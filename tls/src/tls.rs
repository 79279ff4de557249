//! The certificates in use, which are the files' of this moment.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustls::{
    ClientConfig, ServerConfig,
    client::{Resumption, WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::{CryptoProvider, ring},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    version::TLS13,
};
use tokio::time::Instant;

use crate::{
    error::TlsError,
    files::{Contents, Material, TlsFiles},
    name::Names,
    verify::{NamedClients, NamedServers},
};

/// How often the files are looked at, at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// gRPC is HTTP/2.
const PROTOCOL: &[u8] = b"h2";

/// Mutual TLS from files. Each new connection, either way, uses what the files hold then.
pub struct Tls {
    files: TlsFiles,
    names: Names,
    state: Mutex<State>,
}

struct State {
    looked: Instant,
    contents: Contents,
    configs: Configs,
    /// What is wrong with the files as they are now; those before are in use.
    wrong: Option<String>,
}

/// Both sides' configurations.
#[derive(Clone)]
pub(crate) struct Configs {
    pub(crate) client: Arc<ClientConfig>,
    pub(crate) server: Arc<ServerConfig>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// A file is missing or wrong, or they do not belong together.
    pub fn open(files: TlsFiles, names: Names) -> Result<Self, TlsError> {
        let contents = files.read()?;
        let configs = Configs::new(files.parse(&contents)?, &files, &names)?;
        let state = State { looked: Instant::now(), contents, configs, wrong: None };
        Ok(Self { files, names, state: Mutex::new(state) })
    }

    /// Where the certificates are.
    pub fn files(&self) -> &TlsFiles {
        &self.files
    }

    /// What the files hold now, or held before they were wrong.
    pub(crate) fn current(&self) -> Configs {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() >= LOOK_EVERY {
            state.looked = Instant::now();
            self.look(&mut state);
        }
        state.configs.clone()
    }

    fn look(&self, state: &mut State) {
        let read = self.files.read().and_then(|contents| {
            if contents == state.contents {
                return Ok(None);
            }
            let configs = Configs::new(self.files.parse(&contents)?, &self.files, &self.names)?;
            Ok(Some((contents, configs)))
        });
        match read {
            Ok(None) => state.wrong = None,
            Ok(Some((contents, configs))) => {
                tracing::info!(cert = %self.files.cert.display(), "certificates changed; new connections use them");
                (state.contents, state.configs, state.wrong) = (contents, configs, None);
            }
            Err(error) => {
                let error = with_causes(&error);
                // Once, not for each connection until somebody has corrected it.
                if state.wrong.as_ref() != Some(&error) {
                    tracing::warn!(error, "certificates changed and cannot be used; going on with those before");
                }
                state.wrong = Some(error);
            }
        }
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).field("names", &self.names).finish_non_exhaustive()
    }
}

impl Configs {
    fn new(material: Material, files: &TlsFiles, names: &Names) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let unusable = |source| TlsError::Certificate { cert: files.cert.clone(), key: files.key.clone(), source };
        Ok(Self {
            client: Arc::new(client(&material, &provider, files, names)?.map_err(unusable)?),
            server: Arc::new(server(material, &provider, files, names)?.map_err(unusable)?),
        })
    }
}

type Unusable<T> = Result<Result<T, rustls::Error>, TlsError>;

fn client(
    material: &Material,
    provider: &Arc<CryptoProvider>,
    files: &TlsFiles,
    names: &Names,
) -> Unusable<ClientConfig> {
    let authorities = Arc::clone(&material.authorities);
    let verifier: Arc<dyn ServerCertVerifier> = if names.servers.is_empty() {
        WebPkiServerVerifier::builder_with_provider(authorities, Arc::clone(provider))
            .build()
            .map_err(|source| TlsError::Authority { path: files.ca.clone(), source: source.into() })?
    } else {
        let allowed = names.servers.clone();
        Arc::new(NamedServers { authorities, provider: Arc::clone(provider), allowed })
    };
    let built = ClientConfig::builder_with_provider(Arc::clone(provider)).with_protocol_versions(&[&TLS13]).and_then(
        |builder| {
            let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
            builder.with_client_auth_cert(material.chain.clone(), material.key.clone_key())
        },
    );
    Ok(built.map(|mut config| {
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        // Who was checked under yesterday's authority is checked again.
        config.resumption = Resumption::disabled();
        config
    }))
}

fn server(
    material: Material,
    provider: &Arc<CryptoProvider>,
    files: &TlsFiles,
    names: &Names,
) -> Unusable<ServerConfig> {
    let signed = WebPkiClientVerifier::builder_with_provider(material.authorities, Arc::clone(provider))
        .build()
        .map_err(|source| TlsError::Authority { path: files.ca.clone(), source: source.into() })?;
    let verifier = Arc::new(NamedClients { signed, allowed: names.clients.clone() });
    let built = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&TLS13])
        .and_then(|builder| builder.with_client_cert_verifier(verifier).with_single_cert(material.chain, material.key));
    Ok(built.map(|mut config| {
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config
    }))
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let (mut text, mut source) = (error.to_string(), error.source());
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
