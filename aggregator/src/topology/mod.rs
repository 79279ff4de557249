//! What a question runs through: named lists of stages, from TOML to values that cannot be wrong.
//!
//! The walk over the file ([`check`], [`from_toml`]) collects every mistake with its key and line; what it returns
//! instead is valid by type. Serde is not used here because it stops at the first mistake.

mod builtin;
mod catalogue;
mod duration;
mod file;
mod members;
mod mistakes;
mod nearest;
mod quorum;
mod roles;
mod sampling;
mod section;
mod show;
mod stages;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, time::Duration};

pub use builtin::{BUILTIN_FILES, BuiltinFile};
pub use catalogue::{Topologies, UnknownTopology};
pub use file::{Known, check, check_with, from_toml};
pub use mistakes::Mistake;
pub use nearest::nearest;
pub use quorum::{Quorum, Samples};
pub use roles::{BUILTIN_ROLES, Role};
pub use sampling::{MaxTokens, OutOfRange, RepetitionPenalty, Sampling, Share, Temperature, TopK};
pub use show::{describe, graph};

/// The most stages of a topology.
pub const MAX_STAGES: usize = 8;
/// The most seats of a stage: with [`MAX_STAGES`] it caps what one question can cost.
pub const MAX_SEATS: usize = 64;

/// A named list of stages. The last one, and only that, synthesises.
#[derive(Debug, Clone, PartialEq)]
pub struct Topology {
    name: String,
    description: String,
    deadline: Duration,
    stages: Vec<Stage>,
}

/// One step of a run, from candidates to candidates.
#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    /// Members write drafts.
    Propose(Propose),
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
    /// The model asked.
    pub model: String,
    /// Instructions of its own, which follow the question.
    pub role: Option<Role>,
    /// In place of the system text that all members share; costs this member the shared prefix.
    pub system: Option<String>,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// How many seats it takes.
    pub samples: Samples,
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

    /// The names of the models that it asks, so that they can be fetched and started.
    pub fn models(&self) -> BTreeSet<&str> {
        self.stages.iter().flat_map(Stage::members).map(|member| member.model.as_str()).collect()
    }
}

impl Stage {
    /// Who writes in it.
    pub fn members(&self) -> &[Member] {
        match self {
            Self::Propose(stage) => &stage.members,
            Self::Synthesize(stage) => std::slice::from_ref(&stage.member),
        }
    }

    /// What the configuration calls it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Propose(_) => "propose",
            Self::Synthesize(_) => "synthesize",
        }
    }

    /// Its members in order, each as often as it takes a seat.
    pub fn seats(&self) -> impl Iterator<Item = &Member> {
        self.members().iter().flat_map(|member| std::iter::repeat_n(member, member.samples.get()))
    }
}
