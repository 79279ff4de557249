//! A cell played: its nodes and aggregator started, a question asked, the fault done at its moment, and what must hold
//! whatever happens held against what happened.

use std::{
    collections::BTreeMap,
    fs,
    sync::{Arc, OnceLock},
    time::Duration,
};

use synod_aggregator::events::{At, Event, RunFinished};
use tempfile::TempDir;
use tokio::task::spawn_blocking;

use crate::{
    asking::{Seen, ask},
    cell::{Cell, End, Fault, LIAR, Rest, Role},
    hurt::{Hurt, hurt},
    relay::{Way, relay},
    scripted::{Heard, LIE, Script, serve},
    support::Process,
};

/// Fewer characters of a lost draft may be in a prompt by chance.
const TELLING: usize = 16;

/// What came of a cell.
pub(crate) struct Outcome {
    pub(crate) took: Duration,
    pub(crate) end: End,
    pub(crate) degraded: bool,
    pub(crate) warnings: Vec<String>,
    /// What must not be.
    pub(crate) wrong: Vec<String>,
}

/// Everybody in a cell.
struct Cast {
    cell: Cell,
    /// Processes with a model, by the id that events name.
    real: BTreeMap<String, Process>,
    heard: Heard,
    aggregator: Process,
    _directory: TempDir,
}

pub(crate) async fn play(cell: Cell) -> Outcome {
    let mut cast = Cast::assemble(cell).await;
    let seen = cast.ask().await;
    judge(&cast, &seen)
}

impl Cast {
    async fn assemble(cell: Cell) -> Self {
        let heard = Heard::default();
        let mut addresses = vec![serve("well", &well(&cell), &heard).await.to_string()];
        let mut real = BTreeMap::new();
        let liar = Arc::new(OnceLock::new());
        for number in 0..cell.role.nodes() {
            if cell.fault.is_of_a_process() {
                let process = spawn_blocking(Process::node).await.unwrap();
                addresses.push(process.address.clone());
                real.insert(process.node_id().await, process);
                continue;
            }
            let lead = if cell.role == Role::Writing { "Well, " } else { "" };
            let others = "What another node has to say.";
            let script = Script::Lie { fault: cell.fault, lead, liar: Arc::clone(&liar), others };
            let address = serve(&format!("liar-{number}"), &[(LIAR, script)], &heard).await;
            let spoilt = relay(address, Way { spoils: true, ..Way::default() }).await;
            addresses.push(spoilt.to_string());
        }
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("synod.toml");
        fs::write(&path, cell.config()).unwrap();
        let aggregator = spawn_blocking(move || {
            let nodes: Vec<&str> = addresses.iter().map(String::as_str).collect();
            Process::aggregator_over(&path, &nodes)
        });
        Self { cell, real, heard, aggregator: aggregator.await.unwrap(), _directory: directory }
    }

    /// Asks, and does the fault where a process has it.
    async fn ask(&mut self) -> Seen {
        let (cell, question) = (self.cell, question(&self.cell));
        let mut done: Option<Hurt> = None;
        let mut nodes: BTreeMap<At, String> = BTreeMap::new();
        let seen = ask(&self.aggregator.address, &question, |event| {
            if let Event::MemberStarted(started) = event {
                nodes.insert(started.at, started.node.clone());
            }
            if let (None, Some(at)) = (&done, moment(&cell, event)) {
                let node = nodes.get(&at).and_then(|node| self.real.get_mut(node));
                done = node.map(|process| hurt(process, cell.fault));
            }
        });
        let seen = seen.await;
        assert!(done.is_some() || self.real.is_empty(), "{cell:?}: its moment never came in {:?}", seen.events);
        seen
    }
}

/// Those who do their work.
fn well(cell: &Cell) -> Vec<(&'static str, Script)> {
    let (few, nobody) = (cell.rest != Rest::Enough, cell.rest == Rest::Nobody);
    let or_refuse = |refuses: bool, text| if refuses { Script::Refuse } else { Script::Say(text) };
    vec![
        ("a", or_refuse(nobody, "Leaves turn because the green in them goes.")),
        ("b", or_refuse(few, "The days are shorter, and chlorophyll is not made again.")),
        ("c", or_refuse(nobody, "Yellow was there all along, and red is made in autumn.")),
        ("scribe", Script::Say("Chlorophyll goes, and what it hid is seen.")),
    ]
}

/// Long where a fault must come before the first token: the prompt takes a while to read.
fn question(cell: &Cell) -> String {
    let question = "Why do leaves change colour in autumn?";
    let about = "I have looked at maples, oaks and beeches, and they differ from year to year. ";
    if cell.role.is_before() && cell.fault.is_of_a_process() {
        about.repeat(24) + question
    } else {
        question.to_owned()
    }
}

/// Whether it is time for the fault, and at which seat.
fn moment(cell: &Cell, event: &Event) -> Option<At> {
    let seat = At { stage: usize::from(!cell.role.proposes()), seat: 0 };
    let is_now = match event {
        Event::MemberStarted(started) => started.at == seat && (cell.role.is_before() || cell.fault == Fault::Slow),
        Event::MemberDelta { at, .. } => *at == seat && cell.role.proposes(),
        Event::AnswerDelta { .. } => cell.role == Role::Writing,
        _ => false,
    };
    is_now.then_some(seat)
}

fn judge(cast: &Cast, seen: &Seen) -> Outcome {
    let cell = &cast.cell;
    let mut wrong = seen.wrong();
    let (end, degraded, warnings) = match (seen.events.last(), &seen.error) {
        (Some(Event::RunFinished(finished)), _) => (end_of(finished), finished.degraded, finished.warnings.clone()),
        (Some(Event::RunFailed(failed)), Some(error)) => (End::Error(error.code), true, failed.warnings.clone()),
        (last, error) => {
            wrong.push(format!("the last event is {last:?}, the error {error:?}"));
            (End::Draft, false, Vec::new())
        }
    };
    if !cell.allows(end) {
        wrong.push(format!("it must not end with {end:?}: {:?}", seen.error));
    }
    if !matches!(end, End::Error(_)) && degraded == warnings.is_empty() {
        wrong.push(format!("degraded: {degraded}, {warnings:?}"));
    }
    // A small model repeats itself whatever is done to its node.
    let own_fault = |warning: &String| cell.fault.is_of_a_process() && warning.contains("it repeats itself");
    let lacks = !warnings.iter().all(own_fault);
    let expected = cell.degraded().filter(|_| !matches!(end, End::Error(_)));
    if expected.is_some_and(|expected| expected != lacks) {
        wrong.push(format!("it must not come with {warnings:?}"));
    }
    wrong.extend(poisoned(cast, seen));
    Outcome { took: seen.took, end, degraded, warnings, wrong }
}

fn end_of(finished: &RunFinished) -> End {
    let stands_in = finished.warnings.iter().any(|warning| warning.contains("this is the draft of"));
    if stands_in { End::Draft } else { End::Synthesis }
}

/// Texts of members that were lost, in the prompt of another or in the answer.
fn poisoned(cast: &Cast, seen: &Seen) -> Vec<String> {
    let mut lost: Vec<&str> = seen.events.iter().filter_map(lost_text).collect();
    // Nobody can tell a wrong answer in good sentences from a right one.
    if cast.cell.fault != Fault::Plausible {
        lost.push(LIE);
    }
    let mut wrong = Vec::new();
    for prompt in cast.heard.lock().unwrap().iter().filter(|prompt| prompt.answered) {
        let found = lost.iter().filter(|text| prompt.text.contains(**text));
        wrong
            .extend(found.map(|text| format!("the prompt of {} has what a lost member wrote: {text:?}", prompt.model)));
    }
    if let (Some(Event::RunFinished(finished)), false) = (seen.events.last(), cast.cell.role == Role::Writing) {
        let found = lost.iter().filter(|text| finished.answer.contains(**text));
        wrong.extend(found.map(|text| format!("the answer has what a lost member wrote: {text:?}")));
    }
    wrong
}

fn lost_text(event: &Event) -> Option<&str> {
    match event {
        Event::MemberFailed(failed) => Some(failed.text.trim()).filter(|text| text.len() >= TELLING),
        _ => None,
    }
}
