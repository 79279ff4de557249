//! `synod aggregator`

use clap::Args;
use synod_aggregator::{Limits, Options, serve};

use super::Context;
use crate::cluster;
use crate::exit::{ExitCode, Failure, with_causes};
use crate::topologies;

const EXAMPLES: &str = "\
Nodes come from [aggregator] nodes in synod.toml, or --node.

Examples:
  synod aggregator --node 10.0.0.2:7610 --node 10.0.0.3:7610
  synod aggregator --config cluster.toml --listen 0.0.0.0:7600";

/// Serve topologies over nodes that run already
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Aggregator {
    /// Where to listen for gRPC; 127.0.0.1:7600 unless configured
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Where to listen for HTTP; 127.0.0.1:7680 unless configured
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,
    /// A node's address; may be given several times
    #[arg(long, value_name = "ADDR")]
    node: Vec<String>,
}

pub(super) async fn run(aggregator: Aggregator, context: Context) -> Result<(), Failure> {
    let layers = context.layers().flag("--listen", "aggregator.listen", aggregator.listen);
    let config = layers.flag("--http", "aggregator.http", aggregator.http).load()?;
    let topologies = topologies::read(&config)?;
    let nodes: Vec<String> = config.aggregator.nodes.iter().cloned().chain(aggregator.node).collect();
    if nodes.is_empty() {
        let failure = Failure::new(ExitCode::Unreachable, "no nodes are configured");
        return Err(
            failure.hint("name some with --node or in [aggregator] nodes, or use `synod up`, which starts its own")
        );
    }
    let listener = cluster::bind(config.aggregator.listen, "--listen").await?;
    let address = listener.local_addr().map_err(|error| Failure::new(ExitCode::Failed, error.to_string()))?;
    context.output.text(&format!("aggregator listening on {address}"))?;
    context.output.text("ready")?;
    let options = Options { nodes, topologies, prompts: cluster::prompts()?, limits: Limits::standard() };
    let served = serve(listener, options, async { context.interrupt.wait().await }).await;
    served.map_err(|error| Failure::new(ExitCode::Failed, with_causes(&error)))
}
