//! Asks the questions, several at a time: the engine computes them together.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Instant,
};

use synod_models::engine::Engine;

use super::{Item, Question, Report, report};
use crate::apis::{
    Api,
    calling::{Ballot, CallError, CallOptions, Candidate, Decision, Outcome, Spent, call, vote},
};

/// Who answers.
#[derive(Clone)]
pub struct Member {
    /// Its model.
    pub engine: Engine,
    /// How it calls.
    pub options: CallOptions,
}

/// Who answers a question together.
pub struct Panel {
    /// Each has a vote; there is at least one.
    pub members: Vec<Member>,
    /// Who decides, with the documents of what was voted for, where not all would do the same.
    pub arbiter: Option<Member>,
}

/// Asks every question of every member, `at_once` at a time, and counts what they say together. `done` is told after each
/// question how many there were; where it says false, no more are asked. Blocks.
pub fn run(questions: &[Question], panel: &Panel, at_once: usize, done: &(dyn Fn(usize) -> bool + Sync)) -> Report {
    let started = Instant::now();
    let (next, finished) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let items: Mutex<Vec<(usize, Item)>> = Mutex::default();
    let work = || {
        loop {
            let index = next.fetch_add(1, Relaxed);
            let Some(question) = questions.get(index) else { return };
            let item = answer(question, panel);
            // A poisoned lock means that another thread panicked; that ends the scope.
            if let Ok(mut items) = items.lock() {
                items.push((index, item));
            }
            if !done(finished.fetch_add(1, Relaxed) + 1) {
                next.store(questions.len(), Relaxed);
            }
        }
    };
    thread::scope(|scope| (0..at_once.max(1)).for_each(|_| drop(scope.spawn(work))));
    let mut items = items.into_inner().unwrap_or_default();
    items.sort_by_key(|(index, _)| *index);
    let items = items.into_iter().map(|(_, item)| item).collect();
    Report::new(items, started.elapsed().as_secs_f64())
}

fn answer(question: &Question, panel: &Panel) -> Item {
    let started = Instant::now();
    let ask = |member: &Member| call(&member.engine, &question.conversation, &question.candidates, &member.options);
    let outcomes: Vec<Result<Outcome, CallError>> = panel.members.iter().map(ask).collect();
    let outcome = together(outcomes, question, panel.arbiter.as_ref());
    report::item(question, outcome, started.elapsed())
}

/// What members say together: whoever's answer is none has no vote.
fn together(
    mut outcomes: Vec<Result<Outcome, CallError>>,
    question: &Question,
    arbiter: Option<&Member>,
) -> Result<Outcome, CallError> {
    if outcomes.len() < 2 {
        return outcomes.pop().unwrap_or(Err(CallError::NoRequest));
    }
    let ballot = |outcome: &Outcome| Ballot { decision: outcome.decision.clone(), confidence: outcome.confidence };
    let ballots: Vec<Ballot> = outcomes.iter().flatten().map(ballot).collect();
    let apis: Vec<&Api> = question.candidates.iter().map(|candidate| &*candidate.api).collect();
    let Some(verdict) = vote(&ballots, &apis) else { return outcomes.swap_remove(0) };
    let (mut spent, mut judged, mut relaxed) = (Spent::default(), Vec::new(), Vec::new());
    for outcome in outcomes.into_iter().flatten() {
        spent.prompt_tokens += outcome.spent.prompt_tokens;
        spent.completion_tokens += outcome.spent.completion_tokens;
        judged.extend(outcome.judged);
        relaxed.extend(outcome.relaxed);
    }
    let (mut decision, mut confidence): (Decision, f64) = (verdict.decision, verdict.confidence);
    if let Some(arbiter) = arbiter.filter(|_| verdict.contested) {
        let candidates: Vec<Candidate> = voted_for(&ballots, question).cloned().collect();
        let outcome = call(&arbiter.engine, &question.conversation, &candidates, &arbiter.options)?;
        spent.prompt_tokens += outcome.spent.prompt_tokens;
        spent.completion_tokens += outcome.spent.completion_tokens;
        (decision, confidence) = (outcome.decision, outcome.confidence);
    }
    Ok(Outcome { decision, confidence, judged, relaxed, spent, exchanges: Vec::new() })
}

/// The documents of what somebody voted for.
fn voted_for<'q>(ballots: &'q [Ballot], question: &'q Question) -> impl Iterator<Item = &'q Candidate> {
    let names = |ballot: &'q Ballot| -> Vec<&'q str> {
        match &ballot.decision {
            Decision::Calls(calls) => calls.iter().map(|call| call.api.as_str()).collect(),
            Decision::Missing { api, .. } => vec![api],
            Decision::NoCall => Vec::new(),
        }
    };
    let named: Vec<&str> = ballots.iter().flat_map(names).collect();
    question.candidates.iter().filter(move |candidate| named.contains(&candidate.api.name.as_str()))
}
