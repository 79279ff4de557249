//! The topologies of a file, each read once, when it is first asked for: one may be a member of another.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    sync::Arc,
};

use super::{
    Author, MAX_CALLS, MAX_DEPTH, MAX_STAGES, Stage, Topologies, Topology,
    file::{DEFAULT_DEADLINE, Known},
    members::Context,
    nearest::hint,
    roles::Roles,
    section::{Section, string},
    stages::{self, positive_span},
    text::TextOf,
};

/// Reads the topologies of a file.
pub(super) struct Reader<'t, 'c> {
    /// Those that are there already.
    base: &'c Topologies,
    roles: &'c Roles,
    known: &'c Known<'c>,
    text: &'c TextOf,
    entries: BTreeMap<&'t str, Entry<'t>>,
}

/// A topology of the file.
struct Entry<'t> {
    /// Taken when it is read.
    section: Cell<Option<Section<'t>>>,
    state: RefCell<State>,
}

#[derive(Clone)]
enum State {
    /// Nobody asked for it so far, or it is being read.
    Unread,
    Read(Arc<Topology>),
    /// Its mistakes are told.
    Wrong,
}

impl<'t, 'c> Reader<'t, 'c> {
    pub(super) fn new(
        sections: Vec<(&'t str, Section<'t>)>,
        base: &'c Topologies,
        roles: &'c Roles,
        known: &'c Known<'c>,
        text: &'c TextOf,
    ) -> Self {
        let entry = |section| Entry { section: Cell::new(Some(section)), state: RefCell::new(State::Unread) };
        let entries = sections.into_iter().map(|(name, section)| (name, entry(section))).collect();
        Self { base, roles, known, text, entries }
    }

    /// Every name in the file, also of those that are wrong.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.entries.keys().copied()
    }

    /// All that are right.
    pub(super) fn read_all(&self) -> BTreeMap<String, Arc<Topology>> {
        let read = |(name, entry): (&&'t str, &Entry<'t>)| {
            self.read(name, entry);
            match &*entry.state.borrow() {
                State::Read(topology) => Some(((*name).to_owned(), Arc::clone(topology))),
                State::Unread | State::Wrong => None,
            }
        };
        self.entries.iter().filter_map(read).collect()
    }

    /// The topology that a member names: one of the file, else one that is there already.
    fn find(&self, name: &str) -> Result<Arc<Topology>, String> {
        let Some((name, entry)) = self.entries.get_key_value(name) else {
            let unknown = || {
                let names: Vec<&str> = self.names().chain(self.base.names()).collect();
                format!("unknown topology \"{name}\": {}", hint(name, names))
            };
            return self.base.find(name).map(Arc::clone).ok_or_else(unknown);
        };
        self.read(name, entry);
        match &*entry.state.borrow() {
            State::Read(topology) => Ok(Arc::clone(topology)),
            State::Unread => Err(format!("topology \"{name}\" would be a member of itself")),
            State::Wrong => Err(format!("topology \"{name}\" has mistakes of its own")),
        }
    }

    fn read(&self, name: &str, entry: &Entry<'t>) {
        let Some(section) = entry.section.take() else { return };
        let topology = self.read_one(name, section);
        *entry.state.borrow_mut() = topology.map_or(State::Wrong, |topology| State::Read(Arc::new(topology)));
    }

    fn read_one(&self, name: &str, mut section: Section<'_>) -> Option<Topology> {
        let find = |name: &str| self.find(name);
        let context = Context { roles: self.roles, known: self.known, topologies: &find };
        let description = section.get("description", string).unwrap_or_default();
        let deadline = section.get("deadline", positive_span).unwrap_or(DEFAULT_DEADLINE);
        let entries = section.sections("stages");
        if entries.is_empty() {
            section.wrong_here(format!("no stages: add [[topologies.{name}.stages]] with a kind"));
        }
        if entries.len() > MAX_STAGES {
            section.wrong("stages", format!("{} stages: a topology has at most {MAX_STAGES}", entries.len()));
        }
        let count = entries.len();
        let read = |(at, entry): (usize, Option<Section<'_>>)| stages::read(entry?, &context, count - at - 1);
        // Collected first so that a mistake in one stage does not hide those of the next.
        let stages: Vec<_> = entries.into_iter().enumerate().map(read).collect();
        let stages = stages.into_iter().collect::<Option<Vec<_>>>();
        let text = self.text.topology(name);
        let topology = stages.map(|stages| Topology { name: name.to_owned(), description, deadline, stages, text });
        let topology = topology.filter(|topology| is_bounded(topology, &section));
        section.finish();
        topology
    }
}

/// Each stage has its own limits; topologies in topologies multiply. One beyond them stands in no other, so that judging
/// ends soon, too.
fn is_bounded(topology: &Topology, section: &Section<'_>) -> bool {
    let (depth, calls) = (topology.depth(), topology.calls());
    let is_consistent = acts_once(topology, section);
    if depth > MAX_DEPTH {
        section.wrong_here(format!("topologies stand {depth} deep in it: at most {MAX_DEPTH} may"));
    }
    if calls > MAX_CALLS {
        section.wrong_here(format!(
            "a run would make up to {calls} calls, those of the topologies in it included: at most {MAX_CALLS} are allowed"
        ));
    }
    depth <= MAX_DEPTH && calls <= MAX_CALLS && is_consistent
}

/// Whoever proposes a call where one is made advises on that one, and is counted.
fn acts_once(topology: &Topology, section: &Section<'_>) -> bool {
    let acts = |stage: &Stage| matches!(stage, Stage::Act(_));
    let count = topology.stages().iter().filter(|stage| acts(stage)).count();
    let after = topology.stages().iter().skip_while(|stage| !acts(stage)).skip(1);
    let late = after.flat_map(Stage::members).any(|member| !member.apis.is_empty());
    let inner = topology
        .stages()
        .iter()
        .flat_map(Stage::members)
        .any(|member| matches!(&member.author, Author::Topology(inner) if inner.proposes_calls()));
    let wrong = match (count, late, inner) {
        (0, ..) | (1, false, false) => return true,
        (1, true, _) => "a member proposes calls after the stage that acts: nobody would make them".to_owned(),
        (1, ..) => {
            "a topology in it proposes calls, which the stage that acts would not count: give `apis` to members here"
                .to_owned()
        }
        _ => format!("{count} stages act: a run calls once, others advise"),
    };
    section.wrong_here(wrong);
    false
}
