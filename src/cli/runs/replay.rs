//! `synod runs replay RUN`

use clap::Args;
use futures::StreamExt;
use serde::Serialize;
use synod_aggregator::records::Record;
use synod_aggregator::{Client, Question, topology::Overrides};

use super::{
    Whose,
    compare::{Pair, Sameness, pairs},
    source::{Source, recorded},
};
use crate::cli::{
    Context,
    reach::{Whom, connect, failure},
};
use crate::exit::{ExitCode, Failure};

/// Ask again with the same seeds, and say whether the same comes of it
#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// The run
    run: String,
    /// Call APIs again, where the run called one
    #[arg(long)]
    call_again: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    whose: Whose,
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Report<'r> {
    run_id: &'r str,
    replay_id: &'r str,
    /// Whether all texts are.
    same: bool,
    /// Whether the topology still means what it meant.
    same_topology: bool,
    same_build: bool,
    same_answer: bool,
    members: Vec<Pair<'r>>,
}

pub(super) async fn run(replay: Replay, context: Context) -> Result<(), Failure> {
    let before = Source::open(&replay.whose, &context).await?.get(&replay.run).await?;
    if !replay.call_again && before.began.stages.iter().any(|stage| stage.kind == "act") {
        let failure = Failure::new(ExitCode::Usage, "this run called an API: asked again, it calls again");
        return Err(failure.hint("if that does no harm, add --call-again"));
    }
    let question = Question { refuse_acts: !replay.call_again, ..question(&before)? };
    let topology = Some(before.began.topology.name.as_str());
    let overrides: Overrides = question.overrides.clone();
    let whom = Whom { endpoint: replay.whose.endpoint.as_deref(), topology, overrides };
    let (mut client, cluster) = tokio::select! {
        connected = Box::pin(connect(&whom, |text| context.output.note(text), &context)) => connected?,
        () = context.interrupt.wait() => return Err(interrupted()),
    };
    let again = tokio::select! {
        again = Box::pin(ask(&mut client, question)) => again,
        () = context.interrupt.wait() => Err(interrupted()),
    };
    drop(client);
    if let Some(cluster) = cluster {
        cluster.stop().await?;
    }
    let again = again?;
    let report = report(&before, &again);
    if replay.json {
        context.output.json(&report)?;
    } else {
        context.output.text(&tell(&report))?;
    }
    // The report is all there is to say.
    if report.same { Ok(()) } else { Err(Failure::new(ExitCode::Failed, "")) }
}

/// The same question, with the seed that the run had.
fn question(before: &Record) -> Result<Question, Failure> {
    let began = &before.began;
    if !began.part_of.is_empty() {
        let message = format!("run {} is a part of another", began.run_id);
        return Err(Failure::new(ExitCode::Usage, message).hint(format!("replay {}", began.part_of)));
    }
    let kept = began.question.messages.iter().all(|(_, text)| !text.is_empty() && !text.starts_with("sha256:"));
    if !kept {
        let failure =
            Failure::new(ExitCode::Failed, "the texts of this run were not kept, so it cannot be asked again");
        return Err(failure.hint("[records] texts = \"keep\" keeps those of runs to come"));
    }
    let mut question = began.question.clone();
    question.topology.clone_from(&began.topology.name);
    question.keep_seeds |= question.sampling.seed.is_none();
    question.sampling.seed = Some(began.seed);
    Ok(question)
}

async fn ask(client: &mut Client, question: Question) -> Result<Record, Failure> {
    let mut events = client.ask(question).await.map_err(failure)?;
    let mut run_id = String::new();
    while let Some(event) = events.next().await {
        // How it ends is in its record.
        if let Ok(synod_aggregator::events::Event::RunStarted(started)) = event {
            run_id = started.run_id;
        }
    }
    recorded(client, &run_id).await
}

fn report<'r>(before: &'r Record, again: &'r Record) -> Report<'r> {
    let members = pairs(before, again);
    let answer = |run: &Record| run.ended.as_ref().map(|ended| (ended.answer.clone(), ended.state.clone()));
    let same_answer = answer(before) == answer(again);
    Report {
        run_id: &before.began.run_id,
        replay_id: &again.began.run_id,
        same: same_answer && members.iter().all(|pair| pair.text == Sameness::Same),
        same_topology: before.began.topology.sha256 == again.began.topology.sha256,
        same_build: before.began.build == again.began.build,
        same_answer,
        members,
    }
}

fn tell(report: &Report<'_>) -> String {
    let mut lines = vec![format!("run {} asked again as {}", report.run_id, report.replay_id)];
    if !report.same_topology {
        lines.push("the topology has changed since".to_owned());
    }
    if !report.same_build {
        lines.push("this is another build".to_owned());
    }
    for pair in &report.members {
        let why = match (pair.text, pair.prompt) {
            (Sameness::Same, _) => "same".to_owned(),
            (Sameness::Missing, _) => "only in one of them".to_owned(),
            (_, Sameness::Same) => "differs, from the same prompt".to_owned(),
            (_, Sameness::Differs) => "differs, as its prompt does".to_owned(),
            _ => "differs".to_owned(),
        };
        lines.push(format!("  stage {} seat {} ({}): {why}", pair.stage + 1, pair.seat + 1, pair.model));
    }
    let answer = if report.same_answer { "the same answer" } else { "another answer" };
    lines.push(format!("{answer}{}", if report.same { "" } else { ": `synod runs diff` of the two says more" }));
    lines.join("\n")
}

fn interrupted() -> Failure {
    Failure::new(ExitCode::Interrupted, "interrupted")
}
