//! The cells of the matrix: who is at fault, how, with whom beside it, and what the caller must get.

use std::{sync::LazyLock, time::Duration};

use synod_aggregator::ErrorCode;

use crate::support::MODEL;

/// Of every run: 24 s, which a slow machine beside other work keeps too, or `SYNOD_FAULTS_DEADLINE` of them.
pub(crate) static DEADLINE: LazyLock<Duration> = LazyLock::new(|| {
    let seconds = std::env::var("SYNOD_FAULTS_DEADLINE").map_or(24, |seconds| seconds.parse().unwrap());
    Duration::from_secs(seconds)
});

/// The model of the member at fault, where a script plays it.
pub(crate) const LIAR: &str = "liar";

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `kill -9` of the process.
    Kill,
    /// SIGSTOP.
    Stop,
    /// It runs a tenth of the time.
    Slow,
    /// What it writes are control characters.
    NotText,
    /// It writes bytes that are no UTF-8, in a protobuf string.
    WrongBytes,
    /// It sends a message beyond what the aggregator takes.
    Huge,
    /// It writes for ever, new words each time.
    Endless,
    /// It sends events without text for ever, as fast as it can.
    Flood,
    /// It finishes without a word.
    Empty,
    /// It says one thing over and over, and finishes.
    Loop,
    /// It ends the call in the middle without finishing.
    BreakOff,
    /// It is wrong, in good sentences.
    Plausible,
}

impl Fault {
    pub(crate) const ALL: [Self; 12] = [
        Self::Kill,
        Self::Stop,
        Self::Slow,
        Self::NotText,
        Self::WrongBytes,
        Self::Huge,
        Self::Endless,
        Self::Flood,
        Self::Empty,
        Self::Loop,
        Self::BreakOff,
        Self::Plausible,
    ];

    /// Whether a process with a model has it; else a script.
    pub(crate) fn is_of_a_process(self) -> bool {
        matches!(self, Self::Kill | Self::Stop | Self::Slow)
    }
}

/// Who is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A proposer whose model another node has too.
    Proposer,
    /// A proposer whose model nobody else has.
    OnlyProposer,
    /// The synthesiser before its first token; another node has its model.
    Synthesiser,
    /// The same where nobody else has it.
    OnlySynthesiser,
    /// The synthesiser after its first token.
    Writing,
    /// The judge of a `select`; nobody else has its model.
    Judge,
}

impl Role {
    pub(crate) const ALL: [Self; 6] =
        [Self::Proposer, Self::OnlyProposer, Self::Synthesiser, Self::OnlySynthesiser, Self::Writing, Self::Judge];

    pub(crate) fn proposes(self) -> bool {
        matches!(self, Self::Proposer | Self::OnlyProposer)
    }

    pub(crate) fn synthesises(self) -> bool {
        matches!(self, Self::Synthesiser | Self::OnlySynthesiser | Self::Writing)
    }

    /// Whether its fault comes before it has written.
    pub(crate) fn is_before(self) -> bool {
        matches!(self, Self::Synthesiser | Self::OnlySynthesiser | Self::Judge)
    }

    /// How many nodes have its model.
    pub(crate) fn nodes(self) -> usize {
        if matches!(self, Self::Proposer | Self::Synthesiser) { 2 } else { 1 }
    }
}

/// How many of the other proposers answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// All: with or without the one at fault, the quorum is met.
    Enough,
    /// All but one: it is not met.
    TooFew,
    /// None.
    Nobody,
}

impl Rest {
    pub(crate) const ALL: [Self; 3] = [Self::Enough, Self::TooFew, Self::Nobody];
}

/// How a run may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// With what the synthesiser wrote.
    Synthesis,
    /// With a draft in its place.
    Draft,
    /// With an error.
    Error(ErrorCode),
}

/// One run of the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) fault: Fault,
    pub(crate) role: Role,
    pub(crate) rest: Rest,
}

impl Cell {
    /// All that there are: a fault that is a text has no place before the first token, nor silence after it, and a judge is
    /// not asked about less than two drafts.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let every = Fault::ALL.into_iter().flat_map(|fault| Role::ALL.map(|role| (fault, role)));
        let every = every.flat_map(|(fault, role)| Rest::ALL.map(|rest| Self { fault, role, rest }));
        every.filter(|cell| match cell.role {
            Role::Proposer | Role::OnlyProposer => true,
            Role::Synthesiser | Role::OnlySynthesiser => {
                cell.fault.is_of_a_process()
                    || matches!(cell.fault, Fault::WrongBytes | Fault::Huge | Fault::Flood | Fault::Empty)
            }
            Role::Writing => cell.fault != Fault::Empty,
            Role::Judge => cell.rest != Rest::Nobody,
        })
    }

    /// The model of the member at fault.
    pub(crate) fn model(&self) -> &'static str {
        if self.fault.is_of_a_process() { MODEL } else { LIAR }
    }

    /// The configuration: three seats and a synthesis, with a judge between where that is the one at fault.
    pub(crate) fn config(&self) -> String {
        let faulty = self.model();
        let first = if self.role.proposes() { faulty } else { "c" };
        let last = if self.role.synthesises() { faulty } else { "scribe" };
        // A proposer at fault is one more than the quorum needs.
        let quorum = if self.role.proposes() { 2 } else { 3 };
        let judge = match self.role {
            Role::Judge => format!(
                "[[topologies.cell.stages]]\nkind = \"select\"\nby = \"judge\"\nkeep = 2\nmember = {{ model = \"{faulty}\" }}"
            ),
            _ => String::new(),
        };
        // Those who are slowed or stopped while they write must not be done before.
        let (draft, answer) = if self.role == Role::Writing { (32, 160) } else { (160, 24) };
        let deadline = DEADLINE.as_secs();
        format!(
            r#"
default_topology = "cell"

[topologies.cell]
deadline = "{deadline}s"

[[topologies.cell.stages]]
kind = "propose"
quorum = {quorum}
grace = "1s"
members = [{{ model = "{first}", max_tokens = {draft} }}, {{ model = "a" }}, {{ model = "b" }}]

{judge}

[[topologies.cell.stages]]
kind = "synthesize"
member = {{ model = "{last}", max_tokens = {answer} }}
"#
        )
    }

    /// Whether a run may end like this.
    pub(crate) fn allows(&self, end: End) -> bool {
        use Fault::{BreakOff, Endless, Flood, Huge, Kill, Loop, NotText, Plausible, Slow, Stop, WrongBytes};
        match (self.role, self.fault) {
            // Before its first token or in a decision a member costs its seat, and no more.
            (Role::Proposer | Role::OnlyProposer | Role::Judge, _) => end == End::Synthesis,
            (Role::Synthesiser, _) => end == End::Synthesis,
            (Role::OnlySynthesiser, Slow) => true,
            (Role::OnlySynthesiser, _) if self.rest == Rest::Nobody => matches!(end, End::Error(_)),
            (Role::OnlySynthesiser, _) => end == End::Draft,
            // After it, what is there is there.
            (Role::Writing, NotText | Loop | Plausible) => end == End::Synthesis,
            (Role::Writing, Slow) => matches!(end, End::Synthesis | End::Error(ErrorCode::DeadlineExceeded)),
            (Role::Writing, Stop | Flood) => {
                matches!(end, End::Error(ErrorCode::SynthesisLost | ErrorCode::DeadlineExceeded))
            }
            (Role::Writing, Kill | WrongBytes | Huge | Endless | BreakOff | Fault::Empty) => {
                end == End::Error(ErrorCode::SynthesisLost)
            }
        }
    }

    /// Whether the answer must say that it is degraded; nothing where that depends on how fast the machine is.
    pub(crate) fn degraded(&self) -> Option<bool> {
        let before_text = matches!(self.fault, Fault::Huge | Fault::WrongBytes | Fault::Empty);
        match (self.role, self.fault) {
            _ if self.rest != Rest::Enough => Some(true),
            (_, Fault::Slow) => None,
            // A judge may only name drafts by their numbers.
            (Role::Judge, Fault::Plausible) => Some(true),
            (_, Fault::Plausible) | (Role::Synthesiser, _) => Some(false),
            (Role::Proposer, _) => Some(!before_text),
            _ => Some(true),
        }
    }
}
