//! Who gets through, and who doesn't.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{fs, path::Path, sync::Arc, time::Duration};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType, date_time_ymd};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use synod_tls::{NamePattern, Names, Tls, TlsFiles};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tonic::transport::{Channel, Endpoint, Server};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

const NODE: &str = "spiffe://example.org/synod/node/a";
const AGGREGATOR: &str = "spiffe://example.org/synod/aggregator/a";

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let (mut params, key) = (CertificateParams::default(), KeyPair::generate().unwrap());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Files of a process with this name, which trusts this authority.
    fn files(&self, folder: &Path, uri: &str, expired: bool) -> TlsFiles {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
        if expired {
            params.not_after = date_time_ymd(2020, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        fs::create_dir_all(folder).unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).unwrap();
            path
        };
        TlsFiles {
            cert: write("cert.pem", &cert.pem()),
            key: write("key.pem", &key.serialize_pem()),
            ca: write("ca.pem", &self.pem),
        }
    }
}

fn names(servers: &[&str], clients: &[&str]) -> Names {
    let patterns = |texts: &[&str]| texts.iter().map(|text| NamePattern::try_new(text).unwrap()).collect();
    Names { servers: patterns(servers), clients: patterns(clients) }
}

/// A health service that only aggregators may ask.
async fn serve(files: TlsFiles) -> u16 {
    let tls = Arc::new(Tls::open(files, names(&[], &["spiffe://example.org/synod/aggregator/*"])).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (_, health) = tonic_health::server::health_reporter();
    tokio::spawn(Server::builder().add_service(health).serve_with_incoming(tls.incoming(listener)));
    port
}

fn channel(port: u16, files: TlsFiles, names: Names) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).unwrap();
    Arc::new(Tls::open(files, names).unwrap()).channel(&endpoint.connect_timeout(Duration::from_secs(5)))
}

async fn ask(channel: Channel) -> Result<(), tonic::Status> {
    HealthClient::new(channel).check(HealthCheckRequest::default()).await.map(|_| ())
}

/// A node of `server` asked by a caller of `client`, each with its name; whether it answered.
async fn answers(server: (&Authority, &str, bool), client: (&Authority, &str, bool), expected: Names) -> bool {
    let folder = TempDir::new().unwrap();
    let port = serve(server.0.files(&folder.path().join("server"), server.1, server.2)).await;
    let files = client.0.files(&folder.path().join("client"), client.1, client.2);
    ask(channel(port, files, expected)).await.is_ok()
}

#[tokio::test]
async fn whoever_the_authority_named_for_it_gets_through() {
    let ours = Authority::new();
    assert!(answers((&ours, NODE, false), (&ours, AGGREGATOR, false), Names::default()).await);
    let nodes = names(&["spiffe://example.org/synod/node/*"], &[]);
    assert!(answers((&ours, NODE, false), (&ours, AGGREGATOR, false), nodes).await);
}

#[tokio::test]
async fn another_authoritys_certificate_is_refused_on_either_side() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (node, aggregator) = ((&ours, NODE, false), (&theirs, AGGREGATOR, false));
    assert!(!answers(node, aggregator, Names::default()).await);
    // A caller that trusts the node's authority, but has its own certificate from another.
    let folder = TempDir::new().unwrap();
    let port = serve(ours.files(&folder.path().join("server"), NODE, false)).await;
    let files = theirs.files(&folder.path().join("client"), AGGREGATOR, false);
    fs::write(&files.ca, &ours.pem).unwrap();
    assert!(ask(channel(port, files, Names::default())).await.is_err());
}

#[tokio::test]
async fn an_expired_certificate_is_refused_on_either_side() {
    let ours = Authority::new();
    assert!(!answers((&ours, NODE, false), (&ours, AGGREGATOR, true), Names::default()).await);
    assert!(!answers((&ours, NODE, true), (&ours, AGGREGATOR, false), Names::default()).await);
    let nodes = names(&["spiffe://example.org/synod/node/*"], &[]);
    assert!(!answers((&ours, NODE, true), (&ours, AGGREGATOR, false), nodes).await);
}

#[tokio::test]
async fn a_good_certificate_with_another_name_is_refused_on_either_side() {
    let ours = Authority::new();
    assert!(!answers((&ours, NODE, false), (&ours, NODE, false), Names::default()).await);
    let nodes = names(&["spiffe://example.org/synod/node/*"], &[]);
    assert!(!answers((&ours, AGGREGATOR, false), (&ours, AGGREGATOR, false), nodes).await);
}

#[tokio::test]
async fn without_names_a_certificate_must_be_for_the_address() {
    let (ours, folder) = (Authority::new(), TempDir::new().unwrap());
    let port = serve(ours.files(&folder.path().join("server"), NODE, false)).await;
    let files = ours.files(&folder.path().join("client"), AGGREGATOR, false);
    let endpoint = Endpoint::from_shared(format!("http://localhost:{port}")).unwrap();
    assert!(ask(Arc::new(Tls::open(files, Names::default()).unwrap()).channel(&endpoint)).await.is_err());
}

#[tokio::test]
async fn a_caller_without_a_certificate_or_without_tls_is_refused() {
    let (ours, folder) = (Authority::new(), TempDir::new().unwrap());
    let port = serve(ours.files(folder.path(), NODE, false)).await;
    let plain = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).unwrap();
    assert!(ask(plain.connect_lazy()).await.is_err());

    let mut authorities = rustls::RootCertStore::empty();
    authorities.add(CertificateDer::from_pem_slice(ours.pem.as_bytes()).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(authorities)
        .with_no_client_auth();
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    // The client's side of the handshake ends before the server has looked; so it must be told on the first read.
    let error = match connector.connect(ServerName::try_from("127.0.0.1").unwrap(), stream).await {
        Err(error) => error,
        Ok(mut stream) => {
            let _ = stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await; // it may be gone already
            stream.read_u8().await.unwrap_err()
        }
    };
    assert!(error.to_string().contains("CertificateRequired"), "{error}");
}

/// Lets the next connection look at the files.
async fn later() {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(2)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn changed_files_are_used_for_new_connections_and_open_ones_stay() {
    let (before, after, folder) = (Authority::new(), Authority::new(), TempDir::new().unwrap());
    let server = folder.path().join("server");
    let port = serve(before.files(&server, NODE, false)).await;
    let old = before.files(&folder.path().join("old"), AGGREGATOR, false);
    let new = after.files(&folder.path().join("new"), AGGREGATOR, false);
    let open = channel(port, old.clone(), Names::default());
    ask(open.clone()).await.unwrap();

    // Half a change: the certificate without its key. Nothing is lost by it.
    let half = after.files(&folder.path().join("half"), NODE, false);
    fs::copy(&half.cert, server.join("cert.pem")).unwrap();
    later().await;
    ask(channel(port, old.clone(), Names::default())).await.unwrap();

    after.files(&server, NODE, false);
    later().await;
    ask(channel(port, new, Names::default())).await.unwrap();
    assert!(ask(channel(port, old, Names::default())).await.is_err());
    ask(open).await.unwrap();
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_name() {
    let (ours, folder) = (Authority::new(), TempDir::new().unwrap());
    let files = ours.files(folder.path(), NODE, false);
    let error = |files: TlsFiles| Tls::open(files, Names::default()).unwrap_err().to_string();
    let missing = folder.path().join("missing.pem");
    assert!(error(TlsFiles { ca: missing, ..files.clone() }).contains("missing.pem"));
    let swapped = TlsFiles { cert: files.key.clone(), ..files.clone() };
    assert!(error(swapped).ends_with("key.pem is no PEM file with a certificate"));
    let other = ours.files(&folder.path().join("other"), NODE, false);
    assert!(error(TlsFiles { key: other.key, ..files }).contains("cannot use the certificate"));
}
