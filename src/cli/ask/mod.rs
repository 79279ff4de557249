//! `synod ask QUESTION`

mod record;
mod view;

use std::time::Duration;

use clap::Args;
use futures::StreamExt;
use synod_aggregator::{
    Client, Question,
    topology::{MaxTokens, Overrides, Sampling, Temperature},
};

use super::{
    Context,
    reach::{Whom, connect, failure},
};
use crate::exit::{ExitCode, Failure};
use record::Record;
use view::View;

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
    let whom = whom(&ask);
    let (mut client, cluster) = tokio::select! {
        connected = Box::pin(connect(&whom, |text| view.status(text), &context)) => connected?,
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

fn whom(ask: &Ask) -> Whom<'_> {
    Whom { endpoint: ask.endpoint.as_deref(), topology: ask.topology.as_deref(), overrides: overrides(ask) }
}

fn overrides(ask: &Ask) -> Overrides {
    Overrides { proposers: ask.proposers.clone(), synthesizer: ask.synthesizer.clone(), quorum: ask.quorum }
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

fn interrupted() -> Failure {
    Failure::new(ExitCode::Interrupted, "interrupted")
}
