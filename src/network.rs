//! From the configuration to what runs: certificates, and where nodes are found.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use synod_aggregator::discovery::{Discovery, Dns, Reread, Transport};
use synod_tls::Tls;

use crate::config::{self, Config, Layers, TlsConfig};
use crate::exit::{ExitCode, Failure, with_causes};

/// How often the list of nodes is read again.
const REREAD: Duration = Duration::from_secs(2);

/// Opens the certificates, if there are any.
///
/// # Errors
/// They cannot be used.
pub(crate) fn tls(config: Option<&TlsConfig>) -> Result<Option<Arc<Tls>>, Failure> {
    let Some(TlsConfig { files, names }) = config else { return Ok(None) };
    let opened = Tls::open(files.clone(), names.clone()).map_err(|error| {
        let hint = "docs/cluster.md says how to make certificates";
        Failure::new(ExitCode::Configuration, with_causes(&error)).hint(hint)
    });
    opened.map(|tls| Some(Arc::new(tls)))
}

/// How an aggregator of this configuration reaches nodes.
///
/// # Errors
/// The certificates cannot be used.
pub(crate) fn transport(config: &Config) -> Result<Transport, Failure> {
    Ok(Transport::new(tls(config.tls.as_ref())?, config.insecure))
}

/// Refuses to serve other machines in the clear, unless that is what somebody asked for.
///
/// # Errors
/// The address is not this machine's alone, and there are no certificates.
pub(crate) fn guard(listen: SocketAddr, has_tls: bool, insecure: bool) -> Result<(), Failure> {
    if has_tls || insecure || listen.ip().is_loopback() {
        return Ok(());
    }
    let message = format!("{listen} can be reached from other machines, and there are no certificates");
    Err(Failure::new(ExitCode::Configuration, message).hint(
        "give --tls-cert, --tls-key and --tls-ca; or listen on 127.0.0.1; or, where the network is safe by itself, give \
         --insecure",
    ))
}

/// Where an aggregator finds nodes. `named` are those of the flags.
///
/// # Errors
/// There are none and will be none, or the backend cannot even be asked.
pub(crate) async fn discovery(
    config: &Config,
    layers: Layers,
    named: Vec<String>,
) -> Result<Box<dyn Discovery>, Failure> {
    match &config.aggregator.discovery {
        config::Discovery::Static => {
            if config.aggregator.nodes.is_empty() && named.is_empty() {
                let failure = Failure::new(ExitCode::Unreachable, "no nodes are configured");
                return Err(failure
                    .hint("name some with --node or in [aggregator] nodes, or use `synod up`, which starts its own"));
            }
            Ok(Box::new(Reread::new(REREAD, move || {
                let config = layers.clone().load()?;
                Ok::<_, config::Mistakes>(config.aggregator.nodes.into_iter().chain(named.clone()).collect())
            })))
        }
        config::Discovery::Dns { records, servers, longest } => match Dns::new(records.clone(), servers, *longest) {
            Ok(dns) => Ok(Box::new(dns)),
            Err(error) => Err(Failure::new(ExitCode::Configuration, with_causes(&error))
                .hint("name the servers in [aggregator.discovery] servers")),
        },
        config::Discovery::Etcd(etcd) => from_etcd(etcd, config.tls.as_ref()),
        config::Discovery::Kubernetes { namespace, service, port_name } => {
            from_kubernetes(namespace.clone(), service, port_name.clone()).await
        }
    }
}

#[cfg(feature = "etcd")]
fn from_etcd(etcd: &config::Etcd, tls: Option<&TlsConfig>) -> Result<Box<dyn Discovery>, Failure> {
    Ok(Box::new(synod_aggregator::discovery::Etcd {
        endpoints: etcd.endpoints.clone(),
        prefix: etcd.prefix.clone(),
        tls: tls.map(|tls| tls.files.clone()),
    }))
}

#[cfg(not(feature = "etcd"))]
fn from_etcd(_: &config::Etcd, _: Option<&TlsConfig>) -> Result<Box<dyn Discovery>, Failure> {
    Err(not_built("etcd"))
}

#[cfg(feature = "kubernetes")]
async fn from_kubernetes(
    namespace: Option<String>,
    service: &str,
    port_name: Option<String>,
) -> Result<Box<dyn Discovery>, Failure> {
    // The label by which Kubernetes itself says whose a slice is.
    let selector = format!("kubernetes.io/service-name={service}");
    match synod_aggregator::discovery::Kubernetes::connect(namespace, selector, port_name).await {
        Ok(kubernetes) => Ok(Box::new(kubernetes)),
        Err(error) => Err(Failure::new(ExitCode::Configuration, with_causes(&error))),
    }
}

#[cfg(not(feature = "kubernetes"))]
async fn from_kubernetes(_: Option<String>, _: &str, _: Option<String>) -> Result<Box<dyn Discovery>, Failure> {
    Err(not_built("kubernetes"))
}

/// The configuration's check says it first, and with the line.
#[cfg(not(all(feature = "etcd", feature = "kubernetes")))]
fn not_built(feature: &str) -> Failure {
    Failure::new(ExitCode::Configuration, format!("this synod was built without {feature}"))
        .hint(format!("build it with `--features {feature}`"))
}
