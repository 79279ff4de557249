//! What must hold whatever happens.

use std::{collections::BTreeSet, time::Duration};

use synod_aggregator::events::Event;

use crate::{
    node::Act,
    plan::{LONG, PROPOSERS, Plan, SYNTHESISER},
    world::{Call, Run, World},
};

/// What a run may take beyond its deadline: some ticks of the simulation.
const EPSILON: Duration = Duration::from_millis(50);
/// What the word that nobody wants more takes to a node, beyond the way there.
const NOTICE: Duration = Duration::from_millis(100);
/// What a cut leaves behind once it is over: connections that have not been found dead yet.
const AFTERMATH: Duration = Duration::from_secs(6);

/// Panics with the seed and what is wrong.
pub(crate) fn all(seed: u64, plan: &Plan, world: &World) {
    let mut wrong = world.broken.clone();
    for (id, run) in &world.runs {
        let whatever = ends_once(run).into_iter().chain(in_time(run)).chain(told_as_it_is(run));
        wrong.extend(whatever.map(|what| format!("{id}: {what}")));
        if !run.left && run.deadline >= LONG {
            wrong.extend(answered(plan, world, id, run).map(|what| format!("{id}: {what}")));
            wrong.extend(sound_seats(plan, run).into_iter().map(|what| format!("{id}: {what}")));
        }
    }
    for (number, call) in world.calls.iter().enumerate() {
        wrong.extend(quiet_afterwards(plan, world, call).map(|what| format!("call {number}: {what}")));
        wrong.extend(only_whole_drafts(world, call).map(|what| format!("call {number}: {what}")));
    }
    if world.runs.len() != plan.questions.len() {
        wrong.push(format!("{} of {} runs ended", world.runs.len(), plan.questions.len()));
    }
    wrong.extend(
        world
            .open_at_end
            .iter()
            .filter(|(_, open)| **open > 0)
            .map(|(node, open)| format!("node {node}: {open} calls never ended")),
    );
    assert!(wrong.is_empty(), "seed {seed} (SYNOD_SIM_SEED={seed} replays it):\n{}", wrong.join("\n"));
}

fn is_end(event: &Event) -> bool {
    matches!(event, Event::RunFinished(_) | Event::RunFailed(_))
}

/// One end, and it is the last event; an error follows a failure and nothing else.
fn ends_once(run: &Run) -> Option<String> {
    let ends = run.events.iter().filter(|event| is_end(event)).count();
    let last_failed = matches!(run.events.last(), Some(Event::RunFailed(_)));
    let is_last = run.events.last().is_some_and(is_end);
    let whole = ends == 1 && is_last && last_failed == run.error.is_some();
    let fine = run.after_end == 0 && (whole || (run.left && ends == 0 && run.error.is_none()));
    (!fine).then(|| format!("{ends} ends, error {:?}, {} after it", run.error, run.after_end))
}

fn in_time(run: &Run) -> Option<String> {
    let took = run.ended - run.began;
    (took > run.deadline + EPSILON).then(|| format!("took {took:?} of {:?}", run.deadline))
}

/// What was told of an answer while it was written is the answer: nobody begins another after the first token.
fn told_as_it_is(run: &Run) -> Option<String> {
    let delta = |event: &Event| if let Event::AnswerDelta { text, .. } = event { Some(text.clone()) } else { None };
    let told: String = run.events.iter().filter_map(delta).collect();
    let Some(Event::RunFinished(finished)) = run.events.last() else { return None };
    (told != finished.answer).then(|| format!("told {told:?}, and answered {:?}", finished.answer))
}

/// With a sound synthesiser there is an answer, unless another was asked and already wrote.
fn answered(plan: &Plan, world: &World, id: &str, run: &Run) -> Option<String> {
    let has_sound = plan.hosts(SYNTHESISER).any(|node| node.is_sound);
    let calls = world.calls.iter().filter(|call| call.run_id == id && call.model == SYNTHESISER);
    let mut calls = calls.filter(|call| !plan.nodes[call.node].is_sound);
    let spoiled = calls.any(|call| call.last_wrote.is_some() || call.act == Act::Empty);
    let has_answer = matches!(run.events.last(), Some(Event::RunFinished(finished)) if !finished.answer.is_empty());
    (has_sound && !spoiled && !has_answer).then(|| format!("no answer: {:?}", run.events.last()))
}

/// Where all nodes of a model are sound, its seats are never lost.
fn sound_seats(plan: &Plan, run: &Run) -> Vec<String> {
    let Some(Event::RunStarted(started)) = run.events.first() else { return vec!["it never began".to_owned()] };
    let is_sound = |model: &str| plan.hosts(model).all(|node| node.is_sound);
    let lost = run.events.iter().filter_map(|event| match event {
        Event::MemberFailed(failed) => {
            let model = &started.stages[failed.at.stage].models[failed.at.seat];
            is_sound(model).then(|| format!("{model} is sound and was lost: {}", failed.error))
        }
        _ => None,
    });
    lost.collect()
}

/// Once a run is over its nodes stop writing, unless they cannot be told.
fn quiet_afterwards(plan: &Plan, world: &World, call: &Call) -> Option<String> {
    let run = world.runs.get(&call.run_id)?;
    let (over, wrote) = (run.ended + plan.latency * 2 + NOTICE, call.last_wrote?);
    let mut cuts = plan.nodes[call.node].cuts.iter();
    let cannot_be_told = cuts.any(|(_, from, to)| *from <= wrote && *to + AFTERMATH >= run.ended);
    (wrote > over && !cannot_be_told)
        .then(|| format!("wrote at {wrote:?}, and {} was over at {:?}", call.run_id, run.ended))
}

/// A prompt has the text of members that finished with a usable one, and of no other. One that nothing was written to does
/// not count: a synthesiser reads ahead, and is given up where a draft is lost half read.
fn only_whole_drafts(world: &World, call: &Call) -> Option<String> {
    call.last_wrote?;
    let is_fine = |number: &&usize| {
        let quoted = &world.calls[**number];
        quoted.is_whole && matches!(quoted.act, Act::Say | Act::Slowly) && quoted.run_id == call.run_id
    };
    let bad: Vec<&usize> = call.quotes.iter().filter(|number| !is_fine(number)).collect();
    (!bad.is_empty()).then(|| format!("its prompt has text of failed calls {bad:?}"))
}

/// What all seeds together have seen: a suite that meets no trouble says nothing.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    runs: usize,
    finished: usize,
    failed: usize,
    left: usize,
    picks: usize,
    calls: usize,
    drafts_quoted: usize,
    probes: usize,
    acts: BTreeSet<String>,
    must_answer: usize,
}

impl Seen {
    pub(crate) fn count(&mut self, plan: &Plan, world: &World) {
        let ended = |wanted: fn(&Event) -> bool| {
            world.runs.values().filter(|run| run.events.last().is_some_and(wanted)).count()
        };
        self.runs += world.runs.len();
        self.finished += ended(|event| matches!(event, Event::RunFinished(_)));
        self.failed += ended(|event| matches!(event, Event::RunFailed(_)));
        self.left += world.runs.values().filter(|run| run.left).count();
        self.picks += world.picks;
        self.calls += world.calls.len();
        self.drafts_quoted += world.calls.iter().map(|call| call.quotes.len()).sum::<usize>();
        self.probes += world.probes;
        self.acts.extend(world.calls.iter().map(|call| format!("{:?}", call.act)));
        let some_dead = PROPOSERS.iter().any(|model| plan.hosts(model).any(|node| !node.is_sound));
        if some_dead && plan.hosts(SYNTHESISER).any(|node| node.is_sound) {
            self.must_answer += world.runs.values().filter(|run| !run.left && run.deadline >= LONG).count();
        }
    }

    pub(crate) fn assert_all_kinds(&self) {
        let counts = [self.finished, self.failed, self.left, self.drafts_quoted, self.probes, self.must_answer];
        assert!(counts.iter().all(|count| *count > 0), "some trouble was never met: {self:?}");
        assert_eq!(self.acts.len(), 12, "some act was never played: {self:?}");
    }
}
