//! `synod node --model NAME[,NAME]`

use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;
use synod_agent_node::{Host, LoadProgress, ModelLimits, ModelSpec, ServeOptions, serve};
use synod_models::engine::EngineOptions;
use synod_models::store::{Kind, Store};

use super::{Context, models::open};
use crate::cluster;
use crate::exit::{ExitCode, Failure, with_causes};

const EXAMPLES: &str = "\
Examples:
  synod node --model smollm2-135m-instruct
  synod node --model qwen2.5-coder-0.5b-instruct,all-minilm-l6-v2 --listen 127.0.0.1:7611 --threads 4
  synod node --model qwen2.5-coder-1.5b-instruct --device wgpu";

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
}

pub(super) async fn run(node: Node, context: Context) -> Result<(), Failure> {
    let device = node.device.ready()?;
    let config = context.layers().load()?;
    let store = context.store(&config)?;
    // The port first: it is the cheaper thing to be wrong about.
    let listener = cluster::bind(node.listen, "--listen").await?;
    let address = listener.local_addr().map_err(|error| Failure::new(ExitCode::Failed, error.to_string()))?;
    context.output.text(&format!("node listening on {address}"))?;
    let (working, models) = (context.clone(), node.model.clone());
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
    let served = serve(listener, Arc::new(host), ServeOptions::recommended(), shutdown).await;
    served.map_err(|error| Failure::new(ExitCode::Failed, with_causes(&error)))
}

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
