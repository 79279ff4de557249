//! `synod node --model NAME[,NAME]`

use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;
use synod_agent_node::{Host, LoadProgress, ModelLimits, ModelSpec, Monitor, ServeOptions, serve, serve_tls};
use synod_models::engine::EngineOptions;
use synod_models::store::{Kind, Store};
use tokio::task::JoinSet;

use super::{Context, apis, models::open, tls::TlsFlags};
use crate::config::Config;
use crate::exit::{ExitCode, Failure, with_causes};
use crate::{cluster, network};

const EXAMPLES: &str = "\
Examples:
  synod node --model smollm2-135m-instruct
  synod node --model qwen2.5-coder-0.5b-instruct,all-minilm-l6-v2 --listen 127.0.0.1:7611 --threads 4
  synod node --model qwen2.5-coder-1.5b-instruct --device wgpu
  synod node --model smollm2-135m-instruct --listen 0.0.0.0:7610 --announce 10.0.0.2:7610 --register etcd://10.0.0.1:2379 \
--tls-cert node.pem --tls-key node.key --tls-ca ca.pem";

/// Host models and serve them over gRPC
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Node {
    /// Names from `synod models list`; missing ones are pulled
    #[arg(long, value_name = "NAME", value_delimiter = ',', required = true)]
    model: Vec<String>,
    /// Where to listen; port 0 for any
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7610")]
    listen: SocketAddr,
    /// Where others reach it, if not where it listens
    #[arg(long, value_name = "HOST:PORT")]
    announce: Option<String>,
    /// Where it registers, for aggregators to find it: `etcd://HOST:PORT[,HOST:PORT][/PREFIX]`
    #[arg(long, value_name = "URL")]
    register: Option<String>,
    /// Where to serve /metrics, /healthz and /readyz over HTTP; nowhere unless configured
    #[arg(long, value_name = "ADDR")]
    metrics_listen: Option<String>,
    /// Threads that all models share, 0 for one a core
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    #[command(flatten)]
    device: open::DeviceFlag,
    /// Sequences of a model that are computed together
    #[arg(long, value_name = "N", default_value_t = 8)]
    max_running: usize,
    /// Requests to a model that may wait
    #[arg(long, value_name = "N", default_value_t = 64)]
    max_queued: usize,
    /// Tokens of prompt and answer together, up to what the model was made for
    #[arg(long, value_name = "N", default_value_t = 8192)]
    context_length: usize,
    /// Memory for keys and values of each model, in MiB; what is not needed keeps the beginnings of past prompts
    #[arg(long, value_name = "MIB", default_value_t = 512)]
    cache_mb: usize,
    /// Drain when standard input closes (how `synod up` keeps its nodes)
    #[arg(long, hide = true)]
    until_stdin_closes: bool,
    #[command(flatten)]
    tls: TlsFlags,
}

pub(super) async fn run(node: Node, context: Context) -> Result<(), Failure> {
    let device = node.device.ready()?;
    let layers = context.layers().flag("--announce", "node.announce", node.announce);
    let layers = layers.flag("--register", "node.register", node.register);
    let layers = layers.flag("--metrics-listen", "node.metrics", node.metrics_listen);
    let mut config = node.tls.add_to(layers).load()?;
    if node.until_stdin_closes {
        // A child of `synod up` is its parent's alone.
        (config.tls, config.node.announce, config.node.register) = (None, None, None);
        config.node.metrics = None;
    }
    network::guard(node.listen, config.tls.is_some(), config.insecure)?;
    let tls = network::tls(config.tls.as_ref())?;
    let store = context.store(&config)?;
    // The port first: it is the cheaper thing to be wrong about.
    let listener = cluster::bind(node.listen, "--listen").await?;
    let address = listener.local_addr().map_err(|error| Failure::new(ExitCode::Failed, error.to_string()))?;
    let announced = announced(&config, address)?;
    context.output.text(&format!("node listening on {address}"))?;
    let monitor = Arc::new(Monitor::default());
    // Dropped with this command, and what it serves with it.
    let _watched = watched(&config, &monitor, &context).await?;
    let (working, models) = (context.clone(), node.model.clone());
    let library = apis::library(&store, &context);
    let executor = if config.apis.serve { Some(apis::executor(&config, &store, false)?) } else { None };
    let executor = executor.map(Arc::new);
    let limits = ModelLimits {
        threads: node.threads,
        engine: EngineOptions {
            max_running: node.max_running.max(1),
            max_queued: node.max_queued.max(1),
            context_length: node.context_length.max(64),
            cache_bytes: node.cache_mb.saturating_mul(1 << 20),
            device,
        },
        max_running_embeds: 2,
        max_queued_embeds: 64,
    };
    let host = context.blocking(move || {
        let specs = models.iter().map(|name| spec(&store, name, &working)).collect::<Result<_, _>>()?;
        let said = |progress: LoadProgress<'_>| {
            if let LoadProgress::Loaded { name, elapsed, .. } = progress {
                working.output.note(&format!("loaded {name} in {:.1} s", elapsed.as_secs_f64()));
            }
        };
        Host::load(specs, &limits, said).map_err(|error| Failure::new(ExitCode::Failed, with_causes(&error)))
    });
    let host = tokio::select! {
        host = host => host?,
        () = context.interrupt.wait() => return Err(Failure::new(ExitCode::Interrupted, "interrupted while loading")),
    };
    context.output.text("ready")?;
    let shutdown = async {
        if node.until_stdin_closes {
            tokio::select! {
                () = context.interrupt.wait() => {}
                () = cluster::stdin_closed() => {}
            }
        } else {
            context.interrupt.wait().await;
        }
    };
    let options = ServeOptions { apis: Some(Arc::new(library)), executor, monitor, ..ServeOptions::recommended() };
    let registered = registered(&config, announced, &options);
    let serving = async {
        let served = match tls {
            Some(tls) => serve_tls(listener, tls, Arc::new(host), options.clone(), shutdown).await,
            None => serve(listener, Arc::new(host), options.clone(), shutdown).await,
        };
        // A server that failed has not said so itself.
        options.leaving.cancel();
        served
    };
    let (served, ()) = tokio::join!(serving, registered);
    served.map_err(|error| Failure::new(ExitCode::Failed, with_causes(&error)))
}

/// Where others reach this node.
fn announced(config: &Config, bound: SocketAddr) -> Result<String, Failure> {
    match &config.node.announce {
        Some(announced) => Ok(announced.clone()),
        None if bound.ip().is_unspecified() && config.node.register.is_some() => {
            let message = format!("{bound} is every address of this machine: others cannot tell which one to use");
            Err(Failure::new(ExitCode::Configuration, message)
                .hint("say where they reach it with --announce HOST:PORT"))
        }
        None => Ok(bound.to_string()),
    }
}

/// Serves metrics and health from before models are loaded, where the configuration wants that.
async fn watched(config: &Config, monitor: &Monitor, context: &Context) -> Result<JoinSet<()>, Failure> {
    let mut serving = JoinSet::new();
    if let Some(listen) = config.node.metrics {
        let listener = cluster::bind(listen, "--metrics-listen").await?;
        let address = listener.local_addr().map_err(|error| Failure::new(ExitCode::Failed, error.to_string()))?;
        context.output.text(&format!("metrics on http://{address}/metrics"))?;
        serving.spawn(Arc::new(monitor.probes()).serve(listener));
    }
    Ok(serving)
}

/// Keeps the node in etcd until it leaves.
#[cfg(feature = "etcd")]
async fn registered(config: &Config, address: String, options: &ServeOptions) {
    let Some(etcd) = &config.node.register else { return };
    let registration = synod_agent_node::Registration {
        endpoints: etcd.endpoints.clone(),
        key: format!("{}{}", etcd.prefix, options.node_id),
        address,
        tls: config.tls.as_ref().map(|tls| tls.files.clone()),
    };
    registration.keep(options.leaving.clone()).await;
}

/// Without etcd there is nowhere to; the configuration's check has said so.
#[cfg(not(feature = "etcd"))]
async fn registered(_: &Config, _: String, _: &ServeOptions) {}

/// The model's file, fetched first if it is not here.
fn spec(store: &Store, name: &str, context: &Context) -> Result<ModelSpec, Failure> {
    let files = open::here(store, name, context)?;
    let manifest = files.manifest();
    let path = match manifest.kind {
        Kind::Embedding => files.weights().parent().map(ToOwned::to_owned).unwrap_or_default(),
        _ => files.weights().to_owned(),
    };
    let sha256 = manifest.files.first().map(|file| file.sha256.to_string()).unwrap_or_default();
    Ok(ModelSpec { name: name.to_owned(), sha256, kind: manifest.kind, path })
}
