//! Which aggregator a command speaks to: one that runs, or one of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use synod_aggregator::{Client, Error, ErrorCode, topology::Overrides};

use super::{Context, topology::named, up};
use crate::cluster::{self, Cluster, NodeSpec};
use crate::exit::{ExitCode, Failure};
use crate::{network, records, topologies};

/// How long the default port gets to answer before a command does without.
const PROBE: Duration = Duration::from_millis(300);
const DEFAULT_PORT: u16 = 7600;

/// Whom a question is for.
pub(super) struct Whom<'a> {
    /// A running aggregator.
    pub(super) endpoint: Option<&'a str>,
    /// The default one where there is none.
    pub(super) topology: Option<&'a str>,
    /// What is changed of it.
    pub(super) overrides: Overrides,
}

/// To a running aggregator if there is one, else to one of our own. `status` is told what takes time.
pub(super) async fn connect(
    whom: &Whom<'_>,
    status: impl Fn(&str),
    context: &Context,
) -> Result<(Client, Option<Cluster>), Failure> {
    if let Some(client) = running(whom.endpoint, context).await? {
        return Ok((client, None));
    }
    let config = context.layers().load()?;
    let topologies = topologies::read(&config)?;
    let topology = named(&topologies, whom.topology)?.with(&whom.overrides);
    let topology = topology.map_err(|wrong| Failure::new(ExitCode::Usage, wrong.to_string()))?;
    let models = topology.models();
    // Ports of the moment: the call disturbs nobody, and nobody disturbs it.
    let specs: Vec<_> = up::nodes(&config, models.into_iter(), context)
        .into_iter()
        .map(|spec| NodeSpec { listen: (Ipv4Addr::LOCALHOST, 0).into(), metrics: None, ..spec })
        .collect();
    up::pull(&specs, context.store(&config)?, context).await?;
    status("starting nodes");
    let listener = cluster::bind((Ipv4Addr::LOCALHOST, 0).into(), "--endpoint").await?;
    let records = records::settings(&config)?;
    let cluster = Cluster::start(specs, config.aggregator.nodes.clone(), listener, topologies, records).await?;
    let client = Client::connect(&cluster.aggregator.to_string()).await.map_err(failure)?;
    Ok((client, Some(cluster)))
}

/// The aggregator at the endpoint, or the one on the default port if it runs.
pub(super) async fn running(endpoint: Option<&str>, context: &Context) -> Result<Option<Client>, Failure> {
    if let Some(endpoint) = endpoint {
        return Ok(Some(reach(endpoint, context).await?));
    }
    // A configuration of one's own asks for a cluster of one's own.
    if context.config_file.is_some() {
        return Ok(None);
    }
    let default = SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT)).to_string();
    Ok(tokio::time::timeout(PROBE, Client::connect(&default)).await.ok().and_then(Result::ok))
}

/// Connects to an aggregator, with the certificates of the configuration where there are some.
async fn reach(endpoint: &str, context: &Context) -> Result<Client, Failure> {
    let config = context.layers().load()?;
    match network::tls(config.tls.as_ref())? {
        Some(tls) if !endpoint.starts_with("http://") => Client::connect_tls(endpoint, &tls).await.map_err(failure),
        _ => Client::connect(endpoint).await.map_err(failure),
    }
}

/// What the aggregator says, with the exit code for it.
pub(super) fn failure(error: Error) -> Failure {
    let code = match error.code {
        ErrorCode::InvalidRequest | ErrorCode::PromptRefused | ErrorCode::TopologyNotFound => ExitCode::Usage,
        ErrorCode::Unavailable => ExitCode::Unreachable,
        _ => ExitCode::Failed,
    };
    Failure::new(code, error.message)
}
