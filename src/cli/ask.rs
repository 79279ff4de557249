//! `synod ask QUESTION`

use clap::Args;

use super::{
    Context,
    question::{
        QuestionFlags, answer, interrupted,
        view::{Drafts, View},
    },
    reach::connect,
};
use crate::exit::{ExitCode, Failure};

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
    #[command(flatten)]
    how: QuestionFlags,
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
    if ask.question.trim().is_empty() {
        return Err(Failure::new(ExitCode::Usage, "the question is empty").hint("synod ask 'Why is the sky blue?'"));
    }
    let question = ask.how.question([("user".to_owned(), ask.question)])?;
    let drafts = if ask.show { Drafts::Lines } else { Drafts::Counted };
    let view = View::new(context.output, drafts, ask.json);
    let whom = ask.how.whom();
    let (mut client, cluster) = tokio::select! {
        connected = Box::pin(connect(&whom, |text| view.status(text), &context)) => connected?,
        () = context.interrupt.wait() => return Err(interrupted()),
    };
    let asked = tokio::select! {
        asked = Box::pin(answer(&mut client, question, &view)) => asked.map_err(Failure::from),
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
