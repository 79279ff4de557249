//! `synod ask QUESTION`

mod record;
mod view;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use clap::Args;
use futures::StreamExt;
use synod_aggregator::{
    Client, Error, ErrorCode, Question,
    topology::{MaxTokens, Overrides, Sampling, Temperature},
};

use super::{Context, topology::named, up};
use crate::cluster::{self, Cluster, NodeSpec};
use crate::exit::{ExitCode, Failure};
use crate::network;
use crate::topologies;
use record::Record;
use view::View;

/// How long the default port gets to answer before a cluster of our own is started.
const PROBE: Duration = Duration::from_millis(300);
const DEFAULT_PORT: u16 = 7600;

const EXAMPLES: &str = "\
With a running aggregator (--endpoint, SYNOD_ENDPOINT, or one on 127.0.0.1:7600) the question goes there; otherwise a \
cluster is started for it, and missing models are fetched.

Examples:
  synod ask 'Why do leaves change colour in autumn?'
  synod ask --show --topology moa-3 'Explain what a hash table is.'
  synod ask --proposers smollm2-135m-instruct,qwen2.5-coder-0.5b-instruct --quorum 1 'What is a monad?'
  synod ask --json --seed 7 'Name three prime numbers.' | jq -r .answer";

/// Ask a question of several models and get one answer
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Ask {
    /// A name from `synod topology list`
    #[arg(long, value_name = "NAME")]
    topology: Option<String>,
    /// Models that draft, a seat each, in place of the topology's own
    #[arg(long, value_name = "MODEL", value_delimiter = ',')]
    proposers: Vec<String>,
    /// The model that writes the answer, in place of the topology's own
    #[arg(long, value_name = "MODEL")]
    synthesizer: Option<String>,
    /// How many usable drafts are enough
    #[arg(long, value_name = "N")]
    quorum: Option<usize>,
    /// A running aggregator
    #[arg(long, value_name = "URL", env = "SYNOD_ENDPOINT")]
    endpoint: Option<String>,
    /// The most tokens of any answer in the run
    #[arg(long, value_name = "N")]
    max_tokens: Option<u32>,
    /// The synthesiser's temperature, from 0 (greedy) to 2
    #[arg(long, value_name = "T")]
    temperature: Option<f32>,
    /// The same seed gives the same text
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// What all models are told first
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Give up after so many seconds
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Print each member's draft as it is written
    #[arg(long)]
    show: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// The question
    question: String,
}

pub(super) async fn run(ask: Ask, context: Context) -> Result<(), Failure> {
    let question = question(&ask)?;
    let view = View::new(context.output, ask.show, ask.json);
    let (mut client, cluster) = tokio::select! {
        connected = Box::pin(connect(&ask, &view, &context)) => connected?,
        () = context.interrupt.wait() => return Err(interrupted()),
    };
    let asked = tokio::select! {
        asked = Box::pin(answer(&mut client, question, &view)) => asked,
        () = context.interrupt.wait() => Err(interrupted()), // dropping the stream cancels the run
    };
    view.clear();
    drop(client);
    if let Some(cluster) = cluster {
        cluster.stop().await?;
    }
    let record = asked?;
    if ask.json {
        return context.output.json(&record);
    }
    record.warnings.iter().for_each(|warning| context.output.note(&format!("warning: {warning}")));
    Ok(())
}

fn question(ask: &Ask) -> Result<Question, Failure> {
    if ask.question.trim().is_empty() {
        return Err(Failure::new(ExitCode::Usage, "the question is empty").hint("synod ask 'Why is the sky blue?'"));
    }
    let usage = |error: synod_aggregator::topology::OutOfRange| Failure::new(ExitCode::Usage, error.to_string());
    let sampling = Sampling {
        max_tokens: ask.max_tokens.map(MaxTokens::try_new).transpose().map_err(usage)?,
        temperature: ask.temperature.map(Temperature::try_new).transpose().map_err(usage)?,
        seed: ask.seed,
        ..Sampling::default()
    };
    let system = ask.system.iter().map(|text| ("system".to_owned(), text.clone()));
    Ok(Question {
        messages: system.chain([("user".to_owned(), ask.question.clone())]).collect(),
        topology: ask.topology.clone().unwrap_or_default(),
        overrides: overrides(ask),
        sampling,
        deadline: ask.timeout.map(Duration::from_secs),
        ..Question::default()
    })
}

fn overrides(ask: &Ask) -> Overrides {
    Overrides { proposers: ask.proposers.clone(), synthesizer: ask.synthesizer.clone(), quorum: ask.quorum }
}

/// To a running aggregator if there is one, else to one of our own.
async fn connect(ask: &Ask, view: &View, context: &Context) -> Result<(Client, Option<Cluster>), Failure> {
    if let Some(endpoint) = &ask.endpoint {
        return Ok((reach(endpoint, context).await?, None));
    }
    // A configuration of one's own asks for a cluster of one's own.
    let default = SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT)).to_string();
    if context.config_file.is_none()
        && let Ok(Ok(client)) = tokio::time::timeout(PROBE, Client::connect(&default)).await
    {
        return Ok((client, None));
    }
    let config = context.layers().load()?;
    let topologies = topologies::read(&config)?;
    let topology = named(&topologies, ask.topology.as_deref())?.with(&overrides(ask));
    let topology = topology.map_err(|wrong| Failure::new(ExitCode::Usage, wrong.to_string()))?;
    let models = topology.models();
    // Ports of the moment: the call disturbs nobody, and nobody disturbs it.
    let specs: Vec<_> = up::nodes(&config, models.into_iter())
        .into_iter()
        .map(|spec| NodeSpec { listen: (Ipv4Addr::LOCALHOST, 0).into(), ..spec })
        .collect();
    up::pull(&specs, context.store(&config)?, context).await?;
    view.status("starting nodes");
    let listener = cluster::bind((Ipv4Addr::LOCALHOST, 0).into(), "--endpoint").await?;
    let cluster = Cluster::start(specs, config.aggregator.nodes.clone(), listener, topologies).await?;
    let client = Client::connect(&cluster.aggregator.to_string()).await.map_err(failure)?;
    Ok((client, Some(cluster)))
}

/// Connects to an aggregator, with the certificates of the configuration where there are some.
async fn reach(endpoint: &str, context: &Context) -> Result<Client, Failure> {
    let config = context.layers().load()?;
    match network::tls(config.tls.as_ref())? {
        Some(tls) if !endpoint.starts_with("http://") => Client::connect_tls(endpoint, &tls).await.map_err(failure),
        _ => Client::connect(endpoint).await.map_err(failure),
    }
}

/// Asks and shows what happens.
async fn answer(client: &mut Client, question: Question, view: &View) -> Result<Record, Failure> {
    let mut events = client.ask(question).await.map_err(failure)?;
    let mut record = Record::default();
    while let Some(event) = events.next().await {
        let event = event.map_err(failure)?;
        view.event(&event, &record)?;
        record.take(event);
    }
    Ok(record)
}

fn failure(error: Error) -> Failure {
    let code = match error.code {
        ErrorCode::InvalidRequest | ErrorCode::PromptRefused | ErrorCode::TopologyNotFound => ExitCode::Usage,
        ErrorCode::Unavailable => ExitCode::Unreachable,
        _ => ExitCode::Failed,
    };
    Failure::new(code, error.message)
}

fn interrupted() -> Failure {
    Failure::new(ExitCode::Interrupted, "interrupted")
}
