//! Documents that the user names by URL.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use reqwest::{Client, redirect::Policy};
use rustls::{ClientConfig, RootCertStore};

use super::SourceError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(60);
const MAX_REDIRECTS: usize = 3;

/// A client that trusts this system's authorities, has no proxy and no cookies.
pub(super) fn client() -> Result<Client, Box<dyn std::error::Error + Send + Sync>> {
    let mut roots = RootCertStore::empty();
    // A system without any reaches no server over TLS, which it then says.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let tls = tls.with_root_certificates(roots).with_no_client_auth();
    let builder = Client::builder().no_proxy().redirect(Policy::limited(MAX_REDIRECTS)).referer(false);
    let builder = builder.tls_backend_preconfigured(tls).connect_timeout(CONNECT_TIMEOUT);
    Ok(builder.user_agent(concat!("synod/", env!("CARGO_PKG_VERSION"))).build()?)
}

/// The document at a URL.
pub(super) async fn get(url: &str, limit: usize) -> Result<Vec<u8>, SourceError> {
    let failed = |reason: String| SourceError::Server { location: url.to_owned(), reason };
    let client = client().map_err(|error| failed(error.to_string()))?;
    let fetched = async {
        let response = client.get(url).send().await.and_then(reqwest::Response::error_for_status);
        let mut chunks = response.map_err(|error| failed(error.without_url().to_string()))?.bytes_stream();
        let mut content = Vec::new();
        while let Some(chunk) = chunks.next().await {
            content.extend_from_slice(&chunk.map_err(|error| failed(error.without_url().to_string()))?);
            if content.len() > limit {
                return Err(SourceError::TooLarge { location: url.to_owned(), limit });
            }
        }
        Ok(content)
    };
    let late = |_| Err(failed(format!("it did not answer within {TIMEOUT:?}")));
    tokio::time::timeout(TIMEOUT, fetched).await.unwrap_or_else(late)
}
