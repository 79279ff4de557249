//! How a node is reached: over TLS, or in the clear where that is allowed.

use std::{net::IpAddr, sync::Arc};

use synod_tls::Tls;
use tonic::transport::{Channel, Endpoint};

use crate::limits::Limits;

/// Makes a channel of an endpoint over whatever else than TCP a network is.
pub type Connect = Arc<dyn Fn(Endpoint) -> Channel + Send + Sync>;

/// How nodes are reached. An address says it with its scheme; without one it is TLS where there are certificates.
#[derive(Clone)]
pub struct Transport {
    /// Certificates for `https`.
    pub tls: Option<Arc<Tls>>,
    /// Whether `http` may leave this machine.
    pub insecure: bool,
    /// In place of TCP in the clear.
    pub connect: Option<Connect>,
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { tls, insecure, connect } = self;
        let fields = (tls.is_some(), insecure, connect.is_some());
        write!(f, "Transport(tls {}, insecure {}, of its own {})", fields.0, fields.1, fields.2)
    }
}

impl Transport {
    /// Over TCP.
    pub fn new(tls: Option<Arc<Tls>>, insecure: bool) -> Self {
        Self { tls, insecure, connect: None }
    }

    /// In the clear, to anywhere.
    pub fn insecure() -> Self {
        Self::new(None, true)
    }

    /// A channel that connects when it is first used; or why this address gets none.
    pub(super) fn channel(&self, address: &str, limits: &Limits) -> Result<Channel, String> {
        let (scheme, authority) = match address.split_once("://") {
            Some((scheme, authority)) => (scheme, authority),
            None if self.tls.is_some() => ("https", address),
            None => ("http", address),
        };
        // The transport below is ours, so that as far as tonic knows it is always `http`.
        let endpoint = Endpoint::from_shared(format!("http://{authority}"))
            .map_err(|error| format!("\"{address}\" is not an address: {error}"))?;
        let endpoint = tuned(endpoint, limits);
        match (scheme, &self.tls) {
            ("https", Some(tls)) => Ok(Arc::clone(tls).channel(&endpoint)),
            ("https", None) => Err("https needs certificates: give --tls-cert, --tls-key and --tls-ca".to_owned()),
            ("http", _) if self.insecure || endpoint.uri().host().is_some_and(is_loopback) => {
                Ok(self.connect.as_ref().map_or_else(|| endpoint.connect_lazy(), |connect| connect(endpoint.clone())))
            }
            ("http", _) => Err(format!(
                "prompts would leave this machine in the clear on their way to {authority}: give --tls-cert, --tls-key \
                 and --tls-ca, or --insecure where the network is safe by itself"
            )),
            _ => Err(format!("\"{address}\" is not an address: it takes https://HOST:PORT")),
        }
    }
}

/// Whether a host as it stands in a URL is this machine.
fn is_loopback(host: &str) -> bool {
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    ip.map_or_else(|_| host == "localhost", |ip| ip.is_loopback())
}

fn tuned(endpoint: Endpoint, limits: &Limits) -> Endpoint {
    endpoint
        .connect_timeout(limits.connect)
        .tcp_nodelay(true)
        // A node that was stopped or cut off answers no pings: its streams then end instead of hanging.
        .http2_keep_alive_interval(limits.poll_interval)
        .keep_alive_timeout(limits.poll_timeout)
        .keep_alive_while_idle(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(transport: &Transport, address: &str, expected: Result<(), &str>) {
        match (transport.channel(address, &Limits::standard()), expected) {
            (Ok(_), Ok(())) => {}
            (Err(error), Err(part)) => assert!(error.contains(part), "{address}: {error}"),
            (result, expected) => panic!("{address}: {:?} is not {expected:?}", result.err()),
        }
    }

    #[tokio::test]
    async fn nothing_leaves_the_machine_in_the_clear_unless_asked_for() {
        let careful = Transport::new(None, false);
        for address in ["127.0.0.1:1", "http://[::1]:1", "localhost:1"] {
            check(&careful, address, Ok(()));
        }
        for address in ["10.0.0.2:1", "http://[fd00::1]:1", "nodes.example.org:1", "http://127.0.0.1.example.org:1"] {
            check(&careful, address, Err("--insecure"));
            check(&Transport::insecure(), address, Ok(()));
        }
        check(&careful, "https://10.0.0.2:1", Err("--tls-cert"));
        check(&careful, "ftp://127.0.0.1:1", Err("is not an address"));
        check(&careful, "a b", Err("is not an address"));
    }
}
