//! Connections to a server that was checked, and to nothing else.

use std::sync::Arc;
use std::time::Duration;

use futures::future;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;

use super::guard::Target;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Certificates of the public authorities that this system trusts, without one of our own: no server that a document names
/// learns who we are.
pub(super) fn tls() -> Result<ClientConfig, rustls::Error> {
    let mut roots = RootCertStore::empty();
    // A system without any reaches no server over TLS, which it then says.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(versions.with_root_certificates(roots).with_no_client_auth())
}

/// A client for one server: no proxy of the environment, no redirect, no second try, no cookie, and of names it knows one.
pub(super) fn client(target: &Target, tls: &ClientConfig) -> ClientBuilder {
    Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .http1_only()
        .tls_backend_preconfigured(tls.clone())
        .dns_resolver(Arc::new(Pinned(target.clone())))
        .connect_timeout(CONNECT_TIMEOUT)
        .user_agent(concat!("synod/", env!("CARGO_PKG_VERSION")))
}

/// Connects to the first address that answers.
pub(super) async fn connect(target: &Target) -> std::io::Result<TcpStream> {
    tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(target.addresses.as_slice())).await?
}

/// Knows the one host that was checked.
struct Pinned(Target);

impl Resolve for Pinned {
    fn resolve(&self, name: Name) -> Resolving {
        let is_known = name.as_str().trim_end_matches('.').eq_ignore_ascii_case(&self.0.host);
        Box::pin(future::ready(if is_known {
            Ok(Box::new(self.0.addresses.clone().into_iter()) as Addrs)
        } else {
            Err(format!("{} was not checked", name.as_str()).into())
        }))
    }
}
