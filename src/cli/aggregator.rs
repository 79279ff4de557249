//! `synod aggregator`

use clap::Args;
use synod_aggregator::{Limits, Network, Options, serve_both};

use super::{Context, tls::TlsFlags};
use crate::exit::{ExitCode, Failure, with_causes};
use crate::{cluster, network, records, topologies};

const EXAMPLES: &str = "\
Nodes come from [aggregator] nodes in synod.toml, which may change while it runs, and --node; or from \
[aggregator.discovery]: DNS, etcd, Kubernetes.

Examples:
  synod aggregator --node 127.0.0.1:7610 --node 127.0.0.1:7611
  synod aggregator --config cluster.toml --listen 0.0.0.0:7600 --tls-cert a.pem --tls-key a.key --tls-ca ca.pem";

/// Serve topologies over nodes that run already
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Aggregator {
    /// Where to listen for gRPC; 127.0.0.1:7600 unless configured
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Where to listen for HTTP, or `off`; 127.0.0.1:7680 unless configured
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,
    /// A node's address; may be given several times
    #[arg(long, value_name = "ADDR")]
    node: Vec<String>,
    #[command(flatten)]
    tls: TlsFlags,
}

pub(super) async fn run(aggregator: Aggregator, context: Context) -> Result<(), Failure> {
    let layers = context.layers().flag("--listen", "aggregator.listen", aggregator.listen);
    let layers = aggregator.tls.add_to(layers.flag("--http", "http.listen", aggregator.http));
    let config = layers.clone().load()?;
    let topologies = topologies::read(&config)?;
    network::guard(config.aggregator.listen, config.tls.is_some(), config.insecure)?;
    let transport = network::transport(&config)?;
    let discovery = network::discovery(&config, layers, aggregator.node).await?;
    let http = crate::http::open(&config, &context.output).await?;
    let listener = cluster::bind(config.aggregator.listen, "--listen").await?;
    let address = listener.local_addr().map_err(|error| Failure::new(ExitCode::Failed, error.to_string()))?;
    context.output.text(&format!("aggregator listening on {address}"))?;
    if let Some(http) = &http {
        context.output.text(&format!("HTTP on {}", crate::http::url(http)?))?;
    }
    context.output.text("ready")?;
    let (prompts, records) = (cluster::prompts()?, records::settings(&config)?);
    let options = Options { nodes: Vec::new(), topologies, prompts, limits: Limits::standard(), records };
    let network = Network { discovery, transport };
    let served = serve_both(listener, http, network, options, async { context.interrupt.wait().await }).await;
    served.map_err(|error| Failure::new(ExitCode::Failed, with_causes(&error)))
}
