//! A gate under way: are the drafts good enough to stop here?

use tokio::time::Instant;

use super::{
    ballots::ask,
    context::Context,
    events::{At, Event, StageFinished, StageKind},
    select::measure_name,
};
use crate::{
    prompts::Template,
    stages::{
        Candidate,
        answers::{Group, groups, surest},
        judge::name,
        shuffled,
        synthesize::best,
    },
    topology::{Condition, Gate, Otherwise, Then},
};

/// What a run does after a gate.
pub(super) enum Outcome {
    /// This draft is the answer.
    Stop(Candidate),
    /// The run goes on with these drafts, so many stages later.
    GoOn(Vec<Candidate>, usize),
}

/// Whether a gate is open, the draft that speaks for it, and why.
struct Verdict<'d> {
    open: bool,
    best: Option<&'d Candidate>,
    why: String,
    /// Calls made, and lost.
    asked: (usize, usize),
}

pub(super) async fn run(context: &Context<'_>, stage: usize, gate: &Gate, drafts: Vec<Candidate>) -> Outcome {
    let started = Instant::now();
    let Verdict { open, best, why, asked: (asked, lost) } = judge(context, stage, gate, &drafts).await;
    let stop = best.filter(|_| open && gate.then == Then::Stop).cloned();
    let decision = match (&stop, gate.then, gate.otherwise) {
        (Some(draft), ..) => format!("stop with {}: {why}", name(draft)),
        (None, Then::Skip(count), _) if open => format!("skip {count} stages: {why}"),
        (None, _, Otherwise::Escalate) => format!("escalate: {why}"),
        (None, _, Otherwise::Continue) => format!("go on: {why}"),
    };
    context.log.event(Event::StageFinished(StageFinished {
        stage,
        kind: StageKind::Gate,
        answered: asked - lost,
        failed: lost,
        took: started.elapsed(),
        decision,
    }));
    match (stop, gate.then, gate.otherwise) {
        (Some(draft), ..) => Outcome::Stop(draft),
        (None, Then::Skip(count), _) if open => Outcome::GoOn(drafts, count),
        (None, _, Otherwise::Escalate) => Outcome::GoOn(Vec::new(), 0),
        (None, _, Otherwise::Continue) => Outcome::GoOn(drafts, 0),
    }
}

async fn judge<'d>(context: &Context<'_>, stage: usize, gate: &Gate, drafts: &'d [Candidate]) -> Verdict<'d> {
    let verdict = |open, best, why| Verdict { open, best, why, asked: (0, 0) };
    match &gate.when {
        _ if drafts.is_empty() => verdict(false, None, "there are no drafts".to_owned()),
        Condition::Agreement(answer, least) => {
            let groups = groups(drafts, *answer);
            let largest = groups.first();
            let agree = largest.map_or(0, |group| group.drafts.len());
            let share = agree as f64 / drafts.len() as f64;
            // One draft agrees with itself; that is no agreement.
            let open = share >= *least && agree > 1;
            verdict(open, largest.and_then(Group::surest), format!("{agree} of {} drafts agree", drafts.len()))
        }
        Condition::Confidence(measure, least) => {
            let best = drafts.iter().rev().max_by(|a, b| a.confidence(*measure).total_cmp(&b.confidence(*measure)));
            let most = best.map_or(0.0, |draft| draft.confidence(*measure));
            verdict(most >= *least, best, format!("{} {most:.3} of {least}", measure_name(*measure)))
        }
        Condition::Judge(member) => {
            let order = shuffled(drafts, context.material.seed, stage);
            let at = At { stage, seat: 0 };
            let said = ask(context, at, member, Template::Gate, &order, 1, "(yes|no)".to_owned()).await;
            let lost = usize::from(said.is_none());
            let (open, why) = match said.as_deref() {
                Some("yes") => (true, "the judge says they are good enough"),
                Some(_) => (false, "the judge says they are not good enough"),
                None => (false, "the judge said nothing"),
            };
            let best = best(drafts, member.author.name()).or_else(|| surest(drafts.iter()));
            Verdict { open, best, why: why.to_owned(), asked: (1, lost) }
        }
    }
}
