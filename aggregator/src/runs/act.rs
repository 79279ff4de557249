//! An act stage under way: one member calls an API, those before it having advised.

use tokio::time::Instant;

use super::{
    calls::{Part, request, written},
    context::Context,
    events::{At, Event, StageFinished, StageKind},
    watcher::Watcher,
};
use crate::{
    members::{Advised, ApiRequest, Lost, Made, Policy, Proposed, Usage, proposed},
    stages::{Candidate, FinishReason},
    topology::Act,
};

/// Has the call made. What came of it is the only draft that goes on; where nothing is called, the drafts in words do.
pub(super) async fn run(context: &Context<'_>, stage: usize, act: &Act, drafts: Vec<Candidate>) -> Vec<Candidate> {
    let started = Instant::now();
    let (at, model) = (At { stage, seat: 0 }, act.member.author.name());
    let advice: Vec<Advised> = drafts.iter().flat_map(|draft| draft.calls.iter().cloned()).collect();
    let asked = request(context, &act.member, at, context.deadline, Part::Actor);
    let asked = ApiRequest { advice, execute: true, ..asked };
    // Nobody is asked a second time: whether the first one called is not known here.
    let policy = Policy { attempts: 1, ..context.policy.clone() };
    let (metrics, member) = (&context.shared.metrics, &act.member);
    let watcher = Watcher { log: context.log, metrics, at, member, is_answer: false, feed: None };
    let outcome = proposed(context.nodes, &asked, &policy, &watcher).await;
    let answered = usize::from(outcome.is_ok());
    // A call that was only proposed might be taken for one that was made.
    let words: Vec<Candidate> = drafts.into_iter().filter(|draft| draft.calls.is_empty()).collect();
    let (drafts, decision) = match outcome {
        Ok(proposed) => taken(context, &watcher, proposed, words),
        Err(lost) => left_open(context, at, model, lost, words),
    };
    context.log.event(Event::StageFinished(StageFinished {
        stage,
        kind: StageKind::Act,
        answered,
        failed: 1 - answered,
        took: started.elapsed(),
        decision,
    }));
    drafts
}

/// What came of it, and what was decided.
fn taken(
    context: &Context<'_>,
    watcher: &Watcher<'_>,
    mut proposed: Proposed,
    words: Vec<Candidate>,
) -> (Vec<Candidate>, String) {
    let (at, model) = (watcher.at, watcher.member.author.name());
    for Made { rendered, said } in &proposed.made {
        if let Err(why) = said {
            context.log.degrade(format!("stage {} could not call {rendered}: {why}", at.stage));
        }
    }
    let decision = decision(&proposed);
    let text = proposed.text.take();
    let is_nothing = text.is_none();
    let answered = written(text.unwrap_or_else(|| "None of the APIs fits.".to_owned()), proposed, watcher);
    let draft = Candidate::of(at.stage, at.seat, model, answered.text.clone(), &answered);
    context.finish(at, model, answered);
    (if is_nothing { words } else { vec![draft] }, decision)
}

fn decision(Proposed { text, made, votes: (votes, voters), .. }: &Proposed) -> String {
    let told = |Made { rendered, said }: &Made| match said {
        Ok((status, _)) => format!("{rendered}: {status}"),
        Err(why) => format!("{rendered}: {why}"),
    };
    match (made.as_slice(), text) {
        ([], None) => "no API fits".to_owned(),
        ([], Some(_)) => "something is missing for a call".to_owned(),
        (made, _) => format!("{votes} of {voters} for {}", made.iter().map(told).collect::<Vec<_>>().join("; ")),
    }
}

/// The actor is lost: whoever answers must not say that it was done, nor that it was not.
fn left_open(
    context: &Context<'_>,
    at: At,
    model: &str,
    lost: Lost,
    mut words: Vec<Candidate>,
) -> (Vec<Candidate>, String) {
    let why = lost.error.message.clone();
    context.lose_failed(at, model, lost);
    words.push(Candidate {
        stage: at.stage,
        seat: at.seat,
        model: model.to_owned(),
        text: format!("A call of an API was to be made, and what came of it is not known: {why}"),
        finish_reason: FinishReason::Stop,
        mean_logprob: 0.0,
        margin: None,
        usage: Usage::default(),
        calls: Vec::new(),
    });
    (words, format!("what came of the call is not known: {why}"))
}
