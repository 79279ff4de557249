//! A whole mixture: a real aggregator and a real node over gRPC on loopback.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};
use futures::StreamExt;
use serde::Serialize;
use synod_aggregator::{
    Client, Question,
    runs::events::{Event, RunFinished},
    topology::{Known, Sampling, Topologies, from_toml},
};

use super::{Context, median};
use crate::{
    cli::up,
    cluster::{self, Cluster, NodeSpec},
    exit::{ExitCode, Failure},
};

const QUESTIONS: [&str; 4] = [
    "Why do leaves change colour in autumn?",
    "Explain what a hash table is and when to use one.",
    "What are the trade-offs between renting and buying a home?",
    "Write a Python function that merges two sorted lists.",
];

/// A mixture of one model with itself, over gRPC
#[derive(Debug, Args)]
pub(crate) struct MoaBench {
    /// Which model proposes and synthesises
    #[arg(long, value_name = "NAME")]
    model: String,
    /// Drafts of each answer
    #[arg(long, value_name = "N", default_value_t = 3)]
    proposers: usize,
    /// Tokens of each draft; the end of a turn is ignored
    #[arg(long, value_name = "N", default_value_t = 128)]
    draft_tokens: u32,
    /// Tokens of the answer
    #[arg(long, value_name = "N", default_value_t = 128)]
    answer_tokens: u32,
    /// When the synthesiser reads the drafts
    #[arg(long, value_enum, default_value_t = Overlap::Chunk)]
    overlap: Overlap,
    /// Threads of the node, 0 for one a core
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// When the synthesiser reads the drafts.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Overlap {
    /// While they are written
    Chunk,
    /// Each when it is finished
    Draft,
    /// When all are finished
    Off,
}

#[derive(Serialize)]
struct Moa {
    model: String,
    proposers: usize,
    draft_tokens: u32,
    answer_tokens: u32,
    overlap: String,
    /// Medians over the questions, from question in to first token and last token of the answer.
    first_token_ms: f64,
    total_ms: f64,
    /// What is neither a member writing nor the synthesiser.
    overhead_ms: f64,
    /// FNV-1a over the answers: the same texts give the same.
    answers: String,
}

impl std::fmt::Display for Moa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { model, proposers, draft_tokens, answer_tokens, overlap, .. } = self;
        writeln!(
            f,
            "{model}, {proposers} drafts of {draft_tokens} tokens, an answer of {answer_tokens}, overlap {overlap}"
        )?;
        writeln!(f, "  first token {:>8.0} ms", self.first_token_ms)?;
        writeln!(f, "  total       {:>8.0} ms, {:.1} of them overhead", self.total_ms, self.overhead_ms)?;
        write!(f, "  answers     {}", self.answers)
    }
}

/// One question's times.
struct Times {
    first_token: Duration,
    total: Duration,
    overhead: Duration,
}

impl MoaBench {
    pub(super) async fn run(self, context: Context) -> Result<(), Failure> {
        let topologies = self.topologies()?;
        let config = context.layers().load()?;
        let spec = NodeSpec {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            threads: self.threads,
            metrics: None,
            ..up::nodes(&config, [self.model.as_str()].into_iter(), &context).swap_remove(0)
        };
        up::pull(std::slice::from_ref(&spec), context.store(&config)?, &context).await?;
        let listener = cluster::bind((Ipv4Addr::LOCALHOST, 0).into(), "--endpoint").await?;
        let cluster = Cluster::start(vec![spec], Vec::new(), listener, topologies, None).await?;
        let measured = tokio::select! {
            measured = Box::pin(self.measure(&cluster)) => measured,
            () = context.interrupt.wait() => Err(Failure::new(ExitCode::Interrupted, "interrupted")),
        };
        cluster.stop().await?;
        let measured = measured?;
        match self.json {
            true => context.output.json(&measured),
            false => context.output.text(&measured.to_string()),
        }
    }

    /// Drafts are drawn as `llama.cpp`'s side of the comparison draws them, the answer greedily.
    fn topologies(&self) -> Result<Topologies, Failure> {
        let overlap = self.overlap();
        let Self { model, proposers, draft_tokens, answer_tokens, .. } = self;
        let model = toml_text(model);
        let text = format!(
            "default_topology = \"bench\"\n[topologies.bench]\ndeadline = \"600s\"\n\
             [[topologies.bench.stages]]\nkind = \"propose\"\n\
             members = [{{ model = {model}, samples = {proposers}, temperature = 0.7, top_k = 40, max_tokens = {draft_tokens} }}]\n\
             [[topologies.bench.stages]]\nkind = \"synthesize\"\noverlap = \"{overlap}\"\n\
             member = {{ model = {model}, temperature = 0.0, max_tokens = {answer_tokens} }}\n"
        );
        from_toml(&text, &Known::default()).map_err(|mistakes| {
            let told: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
            Failure::new(ExitCode::Usage, told.join("; "))
        })
    }

    fn overlap(&self) -> &'static str {
        match self.overlap {
            Overlap::Chunk => "chunk",
            Overlap::Draft => "draft",
            Overlap::Off => "off",
        }
    }

    async fn measure(&self, cluster: &Cluster) -> Result<Moa, Failure> {
        let mut client = Client::connect(&cluster.aggregator.to_string()).await.map_err(failed)?;
        ask(&mut client, QUESTIONS[0]).await?; // once to warm up
        let (mut first, mut total, mut overhead, mut digest) =
            (Vec::new(), Vec::new(), Vec::new(), 0xcbf2_9ce4_8422_2325_u64);
        for question in QUESTIONS {
            let (times, finished) = ask(&mut client, question).await?;
            let ms = |span: Duration| span.as_secs_f64() * 1e3;
            first.push(ms(times.first_token));
            total.push(ms(times.total));
            overhead.push(ms(times.overhead));
            for byte in finished.answer.bytes() {
                digest = (digest ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
            }
        }
        Ok(Moa {
            model: self.model.clone(),
            proposers: self.proposers,
            draft_tokens: self.draft_tokens,
            answer_tokens: self.answer_tokens,
            overlap: self.overlap().to_owned(),
            first_token_ms: median(first),
            total_ms: median(total),
            overhead_ms: median(overhead),
            answers: format!("{digest:016x}"),
        })
    }
}

/// Asks one question, with a seed that a later run repeats.
async fn ask(client: &mut Client, question: &str) -> Result<(Times, RunFinished), Failure> {
    let sampling = Sampling { seed: Some(7), ..Sampling::default() };
    let question = Question { sampling, ignore_end: true, ..Question::new(question) };
    let begun = Instant::now();
    let mut events = client.ask(question).await.map_err(failed)?;
    let (mut first_token, mut drafts, mut answer) = (None, Duration::ZERO, Duration::ZERO);
    while let Some(event) = events.next().await {
        match event.map_err(failed)? {
            Event::AnswerDelta { .. } => {
                first_token.get_or_insert_with(|| begun.elapsed());
            }
            Event::MemberFinished(member) if member.at.stage == 0 => drafts = drafts.max(member.timings.total),
            Event::MemberFinished(member) => answer = member.timings.total,
            Event::RunFinished(finished) if finished.degraded => {
                return Err(Failure::new(ExitCode::Failed, format!("degraded: {}", finished.warnings.join("; "))));
            }
            Event::RunFinished(finished) => {
                let total = begun.elapsed();
                let overhead = total.saturating_sub(drafts + answer);
                let first_token = first_token.unwrap_or(total);
                return Ok((Times { first_token, total, overhead }, finished));
            }
            _ => {}
        }
    }
    Err(Failure::new(ExitCode::Failed, "the run ended without an answer"))
}

fn toml_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn failed(error: synod_aggregator::Error) -> Failure {
    Failure::new(ExitCode::Failed, error.message)
}
