//! `synod up`

mod rates;
mod status;
mod view;

use clap::Args;
use synod_models::{engine::Device, store::Store};

use super::{Context, tls::TlsFlags, topology::named};
use crate::cluster::{self, Cluster, NodeSpec};
use crate::config::{Config, Discovery};
use crate::exit::Failure;
use crate::{network, records, terminal, topologies};
use view::{Addresses, View};

const EXAMPLES: &str = "\
Examples:
  synod up                        nodes for the default topology, and an aggregator on 127.0.0.1:7600 (HTTP: 7680)
  synod up --topology self-moa
  synod up --config cluster.toml  the [[nodes]] of a file
  synod ask 'Why is the sky blue?'

At a terminal, what runs is shown below the log; --quiet leaves it out. Elsewhere each address is a line, then `ready`.";

/// Start nodes and an aggregator on this machine; Ctrl-C drains
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Up {
    /// Host the models of this topology, and make it the default
    #[arg(long, value_name = "NAME")]
    topology: Option<String>,
    /// Where the aggregator listens; 127.0.0.1:7600 unless configured
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Where to listen for HTTP, or `off`; 127.0.0.1:7680 unless configured
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,
    #[command(flatten)]
    tls: TlsFlags,
}

pub(super) async fn run(up: Up, context: Context) -> Result<(), Failure> {
    let layers = context.layers().flag("--topology", "default_topology", up.topology);
    let layers = layers.flag("--listen", "aggregator.listen", up.listen).flag("--http", "http.listen", up.http);
    let config = up.tls.add_to(layers).load()?;
    let topologies = topologies::read(&config)?;
    if !matches!(config.aggregator.discovery, Discovery::Static) {
        context.output.note("`synod up` uses the nodes it starts and [aggregator] nodes, not [aggregator.discovery]");
    }
    network::guard(config.aggregator.listen, config.tls.is_some(), config.insecure)?;
    let transport = network::transport(&config)?;
    let http = crate::http::open(&config, &context.output).await?;
    let url = http.as_ref().map(crate::http::url).transpose()?;
    let listener = cluster::bind(config.aggregator.listen, "--listen").await?;
    let specs = nodes(&config, named(&topologies, None)?.models().into_iter(), &context);
    // Its nodes speak to it alone, and in the clear.
    specs.iter().try_for_each(|spec| network::guard(spec.listen, false, config.insecure))?;
    pull(&specs, context.store(&config)?, &context).await?;
    let (others, records) = (config.aggregator.nodes.clone(), records::settings(&config)?);
    let cluster = Cluster::start_over(transport, specs, others, listener, http, topologies, records);
    let cluster = tokio::select! {
        cluster = cluster => cluster?,
        () = context.interrupt.wait() => return Ok(()), // dropping what was started kills it
    };
    for (models, address) in &cluster.nodes {
        context.output.text(&format!("node listening on {address}: {}", models.join(", ")))?;
    }
    context.output.text(&format!("aggregator listening on {}", cluster.aggregator))?;
    if let Some(url) = &url {
        context.output.text(&format!("HTTP on {url}"))?;
    }
    context.output.text("ready")?;
    if context.output.is_terminal() && terminal::is_ours() && !context.output.is_quiet() {
        let addresses = Addresses { grpc: cluster.aggregator, http: url };
        let view = View::new(addresses, cluster.window.clone(), context.output);
        tokio::select! {
            () = view.keep() => {}
            () = context.interrupt.wait() => {}
        }
    }
    context.interrupt.wait().await;
    context.output.note("draining");
    cluster.stop().await
}

/// The nodes that the configuration names, or one for each of the models.
pub(crate) fn nodes<'a>(config: &Config, models: impl Iterator<Item = &'a str>, context: &Context) -> Vec<NodeSpec> {
    if config.nodes.is_empty() {
        let address = |at: usize| ([127, 0, 0, 1], 7610 + at as u16).into();
        let spec = |(at, model): (usize, &str)| NodeSpec {
            models: vec![model.to_owned()],
            listen: address(at),
            threads: 0,
            device: Device::Cpu,
            metrics: None,
            config_file: context.config_file.clone(),
        };
        return models.enumerate().map(spec).collect();
    }
    let spec = |node: &crate::config::Node| NodeSpec {
        models: node.models.clone(),
        listen: node.listen,
        threads: node.threads.map_or(0, usize::from),
        device: node.device,
        metrics: node.metrics,
        config_file: context.config_file.clone(),
    };
    config.nodes.iter().map(spec).collect()
}

/// Fetches what the nodes will host, one model after the other, before any of them starts.
pub(crate) async fn pull(specs: &[NodeSpec], store: Store, context: &Context) -> Result<(), Failure> {
    let mut models: Vec<String> = specs.iter().flat_map(|spec| spec.models.clone()).collect();
    models.sort();
    models.dedup();
    let working = context.clone();
    let pulling =
        move || models.iter().try_for_each(|name| super::models::open::here(&store, name, &working).map(|_| ()));
    context.blocking(pulling).await
}
