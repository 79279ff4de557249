//! What a question runs through: named lists of stages, from TOML to values that cannot be wrong.
//!
//! The walk over the file ([`check`], [`from_toml`]) collects every mistake with its key and line; what it returns
//! instead is valid by type. Serde is not used here because it stops at the first mistake.

mod alone;
mod builtin;
mod calls;
mod catalogue;
mod duration;
mod file;
mod members;
mod mistakes;
mod nearest;
mod overrides;
mod quorum;
mod reader;
mod roles;
mod sampling;
mod section;
mod show;
mod stages;
#[cfg(test)]
mod tests;
mod text;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

pub use builtin::{BUILTIN_FILES, BuiltinFile};
pub use catalogue::{Topologies, UnknownTopology};
pub use file::{Known, check, check_with, from_toml};
pub use mistakes::Mistake;
pub use nearest::nearest;
pub use overrides::{Impossible, Overrides};
pub use quorum::{Quorum, Rounds, Samples};
pub use roles::{BUILTIN_ROLES, Role};
pub use sampling::{MaxTokens, OutOfRange, RepetitionPenalty, Sampling, Share, Temperature, TopK};
pub use show::{describe, graph};

use crate::records::{TopologyText, hex};

/// The most stages of a topology.
pub const MAX_STAGES: usize = 8;
/// The most seats of a stage: with [`MAX_STAGES`] it caps what one question can cost.
pub const MAX_SEATS: usize = 64;

/// The most seats of a pairwise rank: each pair is compared twice.
pub const MAX_RANKED: usize = 8;
/// How deep topologies may stand in one another: one that is a member, in one that is a member, in the one asked for.
pub const MAX_DEPTH: usize = 3;
/// The most calls of a run, those of the topologies inside it included, when nothing is retried.
pub const MAX_CALLS: usize = 512;

/// A named list of stages. The last one answers: it synthesises, or selects one draft.
#[derive(Debug, Clone, PartialEq)]
pub struct Topology {
    name: String,
    description: String,
    deadline: Duration,
    stages: Vec<Stage>,
    /// As it was written.
    text: Arc<str>,
}

/// One step of a run, from candidates to candidates.
#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    /// Members write drafts.
    Propose(Propose),
    /// Some of the drafts go on.
    Select(Select),
    /// The run ends here, or leaves stages out, if the drafts are good enough.
    Gate(Gate),
    /// One member calls an API; what comes back is the only draft.
    Act(Act),
    /// One member writes the answer.
    Synthesize(Synthesize),
}

/// Members write drafts side by side; from the second layer on they see the drafts of the layer before.
#[derive(Debug, Clone, PartialEq)]
pub struct Propose {
    /// Who writes.
    pub members: Vec<Member>,
    /// How many usable drafts are enough.
    pub quorum: Quorum,
    /// How long the others may still take once that many are there.
    pub grace: Duration,
    /// The stage's own limit; without it, its share of the run's.
    pub deadline: Option<Duration>,
    /// How often everyone writes: from the second time on with the drafts of the time before in view.
    pub rounds: Rounds,
    /// What of the drafts before it everyone sees.
    pub sees: Sees,
}

/// What of the drafts before it a stage shows to its members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sees {
    /// All of each.
    Drafts,
    /// One draft, and of the others what is not in it (residual mixtures: RMoA, Xie et al. 2025).
    Changes,
    /// Nothing: members begin anew.
    Nothing,
}

/// Some of the drafts go on.
#[derive(Debug, Clone, PartialEq)]
pub struct Select {
    /// How they are chosen.
    pub by: Choice,
    /// How many go on. Those that are equal to the last of them go on too, unless the run ends here.
    pub keep: usize,
}

/// How drafts are chosen.
#[derive(Debug, Clone, PartialEq)]
pub enum Choice {
    /// A member names the best, asked twice with the order reversed.
    Judge(Member),
    /// A member compares all pairs, each in both orders (LLM-Blender, arXiv 2306.02561).
    Pairwise(Member),
    /// The answer that most drafts give (self-consistency, arXiv 2203.11171).
    Vote(Answer),
    /// The answer of the model that agrees with itself most (SLM-MUX, 2025).
    SlmMux(Answer),
    /// Those that lie farthest apart as sentence embeddings of this model.
    Diversity(String),
    /// Those whose authors were surest.
    Confidence(Measure),
}

/// What two drafts must share to give the same answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The last number, or the one in a box.
    Number,
    /// The letter of a choice.
    Choice,
    /// Code that is the same but for names, comments and layout.
    Code,
    /// The words.
    Text,
}

/// How sure an author was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// The geometric mean of the tokens' probabilities, from 0 to 1.
    MeanLogprob,
    /// The mean distance in log-probability from each token to the next likeliest, from 0 up.
    Margin,
}

/// The run ends here, or leaves stages out, if the drafts are good enough.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    /// What good enough is.
    pub when: Condition,
    /// What happens then.
    pub then: Then,
    /// What happens to the drafts otherwise.
    pub otherwise: Otherwise,
}

/// When drafts are good enough.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// This share of them gives one answer.
    Agreement(Answer, f64),
    /// The surest author was at least so sure.
    Confidence(Measure, f64),
    /// A member says so.
    Judge(Box<Member>),
}

/// What happens where a gate opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// The best draft is the answer.
    Stop,
    /// So many stages are left out.
    Skip(usize),
}

/// What happens to the drafts where a gate stays shut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Otherwise {
    /// The next stage sees them.
    Continue,
    /// They are forgotten: the next stage begins anew (a cascade, FrugalGPT, arXiv 2305.05176).
    Escalate,
}

/// One member calls an API, once, on its node. Calls that drafts before it propose are advice: votes beside its own choice.
#[derive(Debug, Clone, PartialEq)]
pub struct Act {
    /// Who calls. It has catalogues.
    pub member: Member,
}

/// One member writes the answer from the drafts.
#[derive(Debug, Clone, PartialEq)]
pub struct Synthesize {
    /// Who writes.
    pub member: Member,
    /// Where the drafts go.
    pub placement: Placement,
    /// When it begins to read them.
    pub overlap: Overlap,
    /// What of the drafts it sees.
    pub sees: Sees,
    /// With more drafts than this it reads a window of them at a time, with its last answer in place of the first
    /// (Self-MoA-Seq, arXiv 2502.00674).
    pub window: Option<usize>,
}

/// When a synthesiser begins to read the drafts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// When all are there.
    Off,
    /// Each when it is finished, in order of arrival: two runs may show them in different orders.
    Draft,
    /// While they are written, in the order that the run's seed gives them.
    Chunk,
}

/// Where a synthesis prompt has the drafts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// After the question, in the last user message: what members share comes first and stays cached.
    User,
    /// In the system message, the layout of Wang et al. 2024.
    System,
}

/// Who writes in a stage: a model, a role and how tokens are drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Who is asked.
    pub author: Author,
    /// Instructions of its own, which follow the question.
    pub role: Option<Role>,
    /// In place of the system text that all members share; costs this member the shared prefix.
    pub system: Option<String>,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// How many seats it takes.
    pub samples: Samples,
    /// Catalogues of its node that it calls out of, where one of their APIs fits: proposes calls where drafts are written,
    /// makes one where it acts.
    pub apis: Vec<String>,
}

/// Who writes for a member.
#[derive(Debug, Clone, PartialEq)]
pub enum Author {
    /// A model of that name, on some node.
    Model(String),
    /// A run through another topology. Only where drafts are written.
    Topology(Arc<Topology>),
}

impl Author {
    /// The model's name, or the topology's.
    pub fn name(&self) -> &str {
        match self {
            Self::Model(name) => name,
            Self::Topology(topology) => topology.name(),
        }
    }
}

impl Topology {
    /// What `--topology` and `AskRequest.topology` call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// One sentence for lists.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// How long a run may take.
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// The stages in order; there is at least one.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// Whether a run through it may call an API.
    pub fn acts(&self) -> bool {
        self.stages.iter().any(|stage| matches!(stage, Stage::Act(_)))
    }

    /// Whether members of it propose calls of APIs.
    pub(crate) fn proposes_calls(&self) -> bool {
        let proposes = |member: &Member| match &member.author {
            Author::Topology(inner) => inner.proposes_calls(),
            Author::Model(_) => !member.apis.is_empty(),
        };
        self.stages.iter().flat_map(Stage::members).any(proposes)
    }

    /// What records say of it. Two that have one digest do the same: it is of all that was understood, whatever the text.
    pub(crate) fn recorded(&self) -> TopologyText {
        let meaning = format!("{:?}{:?}{:?}", self.name, self.deadline, self.stages);
        TopologyText { name: self.name.clone(), sha256: hex(&meaning), text: self.text.to_string() }
    }

    /// The names of the models that it asks, so that they can be fetched and started.
    pub fn models(&self) -> BTreeSet<&str> {
        let written = self.stages.iter().flat_map(Stage::members).flat_map(|member| match &member.author {
            Author::Model(name) => BTreeSet::from([name.as_str()]),
            Author::Topology(inner) => inner.models(),
        });
        written.chain(self.stages.iter().filter_map(Stage::embedder)).collect()
    }
}

impl Propose {
    /// How many write in a round.
    pub fn seats(&self) -> usize {
        self.members.iter().map(|member| member.samples.get()).sum()
    }
}

impl Stage {
    /// Who writes in it.
    pub fn members(&self) -> &[Member] {
        match self {
            Self::Propose(stage) => &stage.members,
            Self::Select(Select { by: Choice::Judge(member) | Choice::Pairwise(member), .. })
            | Self::Act(Act { member })
            | Self::Synthesize(Synthesize { member, .. }) => std::slice::from_ref(member),
            Self::Gate(Gate { when: Condition::Judge(member), .. }) => std::slice::from_ref(&**member),
            Self::Select(_) | Self::Gate(_) => &[],
        }
    }

    /// The model that it asks for embeddings.
    pub fn embedder(&self) -> Option<&str> {
        if let Self::Select(Select { by: Choice::Diversity(model), .. }) = self { Some(model) } else { None }
    }

    /// Whether it looks at the margin of what was written.
    pub(crate) fn weighs_margins(&self) -> bool {
        matches!(
            self,
            Self::Select(Select { by: Choice::Confidence(Measure::Margin), .. })
                | Self::Gate(Gate { when: Condition::Confidence(Measure::Margin, _), .. })
        )
    }

    /// What the configuration calls it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Propose(_) => "propose",
            Self::Select(_) => "select",
            Self::Gate(_) => "gate",
            Self::Act(_) => "act",
            Self::Synthesize(_) => "synthesize",
        }
    }

    /// Its members in order, each as often as it takes a seat.
    pub fn seats(&self) -> impl Iterator<Item = &Member> {
        self.members().iter().flat_map(|member| std::iter::repeat_n(member, member.samples.get()))
    }
}
