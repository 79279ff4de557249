//! An act stage under way: one member calls an API, those before it having advised.

use tokio::time::Instant;

use super::{
    calls::{Part, request, written},
    context::Context,
    events::{At, Event, StageFinished, StageKind},
    watcher::Watcher,
};
use crate::{
    members::{Advised, ApiRequest, Lost, Made, Proposed, Usage, proposed},
    stages::{Candidate, FinishReason},
    topology::Act,
};

/// Has the call made. What came of it is the only draft that goes on; where nothing is called, the drafts in words do.
pub(super) async fn run(context: &Context<'_>, stage: usize, act: &Act, drafts: Vec<Candidate>) -> Vec<Candidate> {
    let started = Instant::now();
    let at = At { stage, seat: 0 };
    let advice: Vec<Advised> = drafts.iter().filter_map(|draft| draft.advice.clone()).collect();
    let asked = request(context, &act.member, at, context.deadline, Part::Actor);
    let asked = ApiRequest { advice, execute: true, ..asked };
    let (metrics, member) = (&context.shared.metrics, &act.member);
    let watcher = Watcher { log: context.log, metrics, at, member, is_answer: false, feed: None };
    context.log.acts();
    let outcome = proposed(context.nodes, &asked, &context.policy, &watcher).await;
    let answered = usize::from(outcome.is_ok());
    // A call that was only proposed might be taken for one that was made.
    let is_call = |draft: &Candidate| draft.advice.as_ref().is_some_and(|advice| !advice.api.is_empty());
    let words: Vec<Candidate> = drafts.into_iter().filter(|draft| !is_call(draft)).collect();
    let (drafts, decision) = match outcome {
        Ok(proposed) => taken(context, &watcher, proposed, words),
        Err(lost) => left_open(context, &watcher, lost, words),
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

/// What came of it, and what was decided. Arguments and results are texts: they are in the draft and nowhere else.
fn taken(
    context: &Context<'_>,
    watcher: &Watcher<'_>,
    mut proposed: Proposed,
    words: Vec<Candidate>,
) -> (Vec<Candidate>, String) {
    let (at, model) = (watcher.at, watcher.member.author.name());
    let (api, (votes, voters)) = (proposed.advice.api.clone(), proposed.votes);
    let text = proposed.text.take();
    let (text, goes_on, decision) = match (proposed.made.as_slice(), text) {
        ([], _) if proposed.outvoted => {
            let text = "No call was made: most members would not make this one.".to_owned();
            (text, words.is_empty(), format!("outvoted: {votes} of {voters} would call {api}"))
        }
        ([], Some(_)) if !api.is_empty() => {
            context.log.degrade(format!("stage {} made no call: its node does not carry calls out", at.stage));
            ("No call was made.".to_owned(), true, format!("{api} was not called"))
        }
        ([], Some(missing)) => (missing, true, "something is missing for a call".to_owned()),
        ([], None) => ("None of the APIs fits.".to_owned(), false, "no API fits".to_owned()),
        (made, text) => {
            for Made { api, .. } in made.iter().filter(|made| made.said.is_err()) {
                context.log.degrade(format!("stage {} has no result of {api}: its seat says why", at.stage));
            }
            let came = made.iter().map(came).collect::<Vec<_>>().join(", ");
            (text.unwrap_or_default(), true, format!("{votes} of {voters} for {came}"))
        }
    };
    let answered = written(text, proposed, watcher);
    let draft = Candidate::of(at.stage, at.seat, model, answered.text.clone(), &answered);
    context.finish(at, model, answered);
    (if goes_on { vec![draft] } else { words }, decision)
}

fn came(Made { api, said }: &Made) -> String {
    match said {
        Ok((status, _)) => format!("{api}: {status}"),
        Err(_) => format!("{api}: no result"),
    }
}

/// The actor is lost. Unless every node refused, whoever answers must not say that it was done, nor that it was not.
fn left_open(
    context: &Context<'_>,
    watcher: &Watcher<'_>,
    lost: Lost,
    mut words: Vec<Candidate>,
) -> (Vec<Candidate>, String) {
    let (at, model) = (watcher.at, watcher.member.author.name());
    let known = if lost.error.refused() { "no call was made" } else { "what came of the call is not known" };
    let decision = format!("{known}: {}", lost.error.message);
    context.lose_failed(at, model, lost);
    words.push(Candidate {
        stage: at.stage,
        seat: at.seat,
        model: model.to_owned(),
        text: format!("An API was to be called, and {decision}"),
        finish_reason: FinishReason::Stop,
        mean_logprob: 0.0,
        margin: None,
        usage: Usage::default(),
        advice: None,
    });
    (words, decision)
}
