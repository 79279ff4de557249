//! A topology with other members, for one request.

use serde::{Deserialize, Serialize};

use super::{Author, MAX_SEATS, Member, Propose, Quorum, Samples, Stage, Topology, quorum::ImpossibleQuorum};

/// The most bytes of a model's name.
const MAX_NAME_BYTES: usize = 256;

/// What a request changes of a topology; what is empty stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Overrides {
    /// Models that draft, a seat each, in place of the members of every propose stage. Roles and sampling stay with the
    /// places: the first model takes those of the first member, and so on, from the start again where there are more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub proposers: Vec<String>,
    /// The model that writes the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synthesizer: Option<String>,
    /// How many usable drafts are enough in every propose stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quorum: Option<usize>,
}

/// A change that cannot be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Impossible {
    /// A model without a name, or with one that no model has.
    #[error("overrides name a model with {0} bytes: name one that a node hosts, in at most {MAX_NAME_BYTES}")]
    Name(usize),
    /// More models than seats may be.
    #[error("overrides.proposers: {0} models, and a stage has at most {MAX_SEATS} seats")]
    Seats(usize),
    /// A stage cannot give so many drafts.
    #[error("overrides.quorum: {0}")]
    Quorum(ImpossibleQuorum),
    /// There is no such stage.
    #[error("topology {topology} has no {stage} stage: leave overrides.{field} out")]
    NoStage {
        /// The topology.
        topology: String,
        /// The kind that is missing.
        stage: &'static str,
        /// What was to be changed.
        field: &'static str,
    },
}

impl Overrides {
    /// Whether everything stays as it is.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Topology {
    /// This topology with the changes.
    pub fn with(&self, overrides: &Overrides) -> Result<Self, Impossible> {
        let Overrides { proposers, synthesizer, quorum } = overrides;
        let wrong = |name: &&String| name.trim().is_empty() || name.len() > MAX_NAME_BYTES;
        if let Some(name) = proposers.iter().chain(synthesizer).find(wrong) {
            return Err(Impossible::Name(name.len()));
        }
        if proposers.len() > MAX_SEATS {
            return Err(Impossible::Seats(proposers.len()));
        }
        let has = |kind| self.stages.iter().any(|stage| stage.kind() == kind);
        let missing = |stage, field| Impossible::NoStage { topology: self.name.clone(), stage, field };
        if !proposers.is_empty() && !has("propose") {
            return Err(missing("propose", "proposers"));
        }
        if quorum.is_some() && !has("propose") {
            return Err(missing("propose", "quorum"));
        }
        if synthesizer.is_some() && !has("synthesize") {
            return Err(missing("synthesize", "synthesizer"));
        }
        let mut changed = self.clone();
        for stage in &mut changed.stages {
            match stage {
                Stage::Propose(propose) => propose.change(proposers, *quorum)?,
                Stage::Synthesize(synthesize) => {
                    if let Some(model) = synthesizer {
                        synthesize.member.author = Author::Model(model.clone());
                    }
                }
                Stage::Select(_) | Stage::Gate(_) | Stage::Act(_) => {}
            }
        }
        Ok(changed)
    }
}

impl Propose {
    fn change(&mut self, models: &[String], quorum: Option<usize>) -> Result<(), Impossible> {
        if !models.is_empty() {
            let places = self.members.iter().cycle();
            let member = |(model, place): (&String, &Member)| Member {
                author: Author::Model(model.clone()),
                samples: Samples::ONE,
                ..place.clone()
            };
            self.members = models.iter().zip(places).map(member).collect();
        }
        let seats = self.seats();
        let wanted = quorum.unwrap_or_else(|| self.quorum.get().min(seats));
        self.quorum = Quorum::try_new(wanted, seats).map_err(Impossible::Quorum)?;
        Ok(())
    }
}
