//! Nodes under a DNS name. tonic resolves a name once and stays with one address; this asks again and takes them all.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use futures::{StreamExt, future::try_join_all, stream, stream::BoxStream};
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig},
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::RData,
};
use tokio::time::sleep;

use super::{Discovery, Update, changes::Changes, pauses::Pauses};

/// An answer is good for this long even if it claims less.
const SHORTEST: Duration = Duration::from_secs(1);

/// Which records say where the nodes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Records {
    /// A and AAAA: every address of the name, with this port.
    Addresses {
        /// For instance `nodes.example.org`.
        name: String,
        /// The port of all nodes.
        port: u16,
    },
    /// SRV: every address of every target, with the target's port.
    Services {
        /// For instance `_synod._tcp.example.org`.
        name: String,
    },
}

/// Nodes under a DNS name, asked for again when the answer's TTL runs out. No answer changes nothing; the answer that
/// there is nothing does.
pub struct Dns {
    resolver: TokioResolver,
    records: Records,
    longest: Duration,
}

/// The system does not say whom to ask, or says it wrongly.
#[derive(Debug, thiserror::Error)]
#[error("setting up name resolution")]
pub struct DnsError(#[from] NetError);

/// What a name stands for, and until when.
struct Answer {
    addresses: BTreeSet<String>,
    until: Instant,
}

impl Dns {
    /// Asks `servers`, or the system's where there are none, at least every `longest`.
    ///
    /// # Errors
    /// The system's resolver configuration cannot be used.
    pub fn new(records: Records, servers: &[SocketAddr], longest: Duration) -> Result<Self, DnsError> {
        let mut builder = if servers.is_empty() {
            TokioResolver::builder_tokio()?
        } else {
            let servers = servers.iter().map(|server| name_server(*server)).collect();
            let config = ResolverConfig::from_name_servers(servers);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let options = builder.options_mut();
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        // We keep to the TTL ourselves, and want to know when it is over.
        options.cache_size = 0;
        Ok(Self { resolver: builder.build()?, records, longest: longest.max(SHORTEST) })
    }

    async fn ask(&self) -> Result<Answer, NetError> {
        let answer = match &self.records {
            Records::Addresses { name, port } => self.addresses(name, *port).await,
            Records::Services { name } => self.services(name).await,
        };
        match answer {
            Err(error) if error.is_no_records_found() => Ok(self.nothing()),
            answer => answer,
        }
    }

    async fn addresses(&self, name: &str, port: u16) -> Result<Answer, NetError> {
        let found = self.resolver.lookup_ip(name).await?;
        let address = |ip: IpAddr| SocketAddr::new(ip, port).to_string();
        Ok(Answer { addresses: found.iter().map(address).collect(), until: found.valid_until() })
    }

    async fn services(&self, name: &str) -> Result<Answer, NetError> {
        let found = self.resolver.srv_lookup(name).await?;
        let targets = found.answers().iter().filter_map(|record| match &record.data {
            RData::SRV(service) => Some((service.target.to_utf8(), service.port)),
            _ => None,
        });
        let resolve = |(target, port): (String, u16)| async move {
            match self.addresses(&target, port).await {
                // One target that is gone is no reason to forget the others.
                Err(error) if error.is_no_records_found() => Ok(self.nothing()),
                answer => answer,
            }
        };
        let answers = try_join_all(targets.map(resolve)).await?;
        let until = answers.iter().map(|answer| answer.until).fold(found.valid_until(), Instant::min);
        Ok(Answer { addresses: answers.into_iter().flat_map(|answer| answer.addresses).collect(), until })
    }

    fn nothing(&self) -> Answer {
        Answer { addresses: BTreeSet::new(), until: Instant::now() + SHORTEST }
    }
}

fn name_server(server: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = server.port();
        connection
    });
    NameServerConfig::new(server.ip(), true, connections.into())
}

struct State {
    dns: Dns,
    changes: Changes,
    /// How long the last answer is good for.
    good_for: Duration,
    pauses: Pauses,
}

impl Discovery for Dns {
    fn updates(self: Box<Self>) -> BoxStream<'static, Update> {
        let pauses = Pauses::up_to(self.longest);
        let state = State { dns: *self, changes: Changes::default(), good_for: Duration::ZERO, pauses };
        stream::unfold(state, |mut state| async move {
            loop {
                if let Some(update) = state.changes.next() {
                    return Some((update, state));
                }
                sleep(state.good_for).await;
                state.ask().await;
            }
        })
        .boxed()
    }
}

impl State {
    async fn ask(&mut self) {
        match self.dns.ask().await {
            Ok(Answer { addresses, until }) => {
                self.changes.set(addresses);
                let left = until.saturating_duration_since(Instant::now());
                self.good_for = left.clamp(SHORTEST, self.dns.longest);
                self.pauses.reset();
            }
            Err(error) => {
                tracing::warn!(%error, "cannot resolve the nodes' name; keeping those it had");
                self.good_for = Duration::ZERO;
                self.pauses.wait().await;
            }
        }
    }
}
