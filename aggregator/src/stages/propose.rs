//! `propose`: who sits, what each is told, and when enough have answered.

use super::{Candidate, Material, Prompt, role, shown, shuffled};
use crate::{
    prompts::{Filling, PromptError, Template},
    topology::{Member, Propose, Quorum, Sampling, Sees},
};

/// One seat of a stage.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seat<'t> {
    pub(crate) index: usize,
    pub(crate) member: &'t Member,
    pub(crate) sampling: Sampling,
}

/// The seats of a stage in one round, from 0, each with a seed of its own. Rounds have seats of their own, one after the other.
pub(crate) fn seats<'t>(stage: usize, round: usize, propose: &'t Propose, material: Material<'_>) -> Vec<Seat<'t>> {
    let before = round * propose.seats();
    let members = propose.members.iter();
    let seats = members.flat_map(|member| (0..member.samples.get()).map(move |sample| (member, sample)));
    let seat = |(index, (member, sample)): (usize, (&'t Member, usize))| {
        // Samples of a member with a seed of its own must still differ.
        let own = member.sampling.seed.map(|own| own.wrapping_add((before + sample) as u64));
        let index = before + index;
        let overrides = Sampling {
            max_tokens: material.overrides.max_tokens,
            seed: Some(material.seed_of(stage, index, own)),
            ..Sampling::default()
        };
        Seat { index, member, sampling: member.sampling.overridden_by(&overrides) }
    };
    seats.enumerate().map(seat).collect()
}

/// What a seat is told: the question, the drafts of the layer before if there are any, its role.
pub(crate) fn prompt(
    stage: usize,
    member: &Member,
    drafts: &[Candidate],
    sees: Sees,
    material: Material<'_>,
) -> Result<Prompt, PromptError> {
    let shown = shown(&shuffled(drafts, material.seed, stage), sees);
    let texts: Vec<&str> = shown.iter().map(|(_, text)| text.as_str()).collect();
    let template = if texts.is_empty() { Template::Propose } else { Template::Refine };
    let question = &material.conversation.question;
    let filling = Filling { system: "", question, role: role(member), drafts: &texts, keep: 1 };
    Ok(Prompt {
        messages: material.messages(material.system(member)?),
        parts: material.prompts.parts(template, filling)?,
        quoted: shown.iter().map(|(draft, _)| (draft.stage, draft.seat)).collect(),
    })
}

/// What a stage that is under way should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Wait for the next seat.
    Wait,
    /// Enough have answered: give the others the grace, then go on.
    Grace,
    /// Everyone is done.
    Done,
}

/// Counts the seats of a stage as they come in.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    quorum: Quorum,
    outstanding: usize,
    usable: usize,
}

impl Tally {
    pub(crate) fn new(quorum: Quorum, seats: usize) -> Self {
        Self { quorum, outstanding: seats, usable: 0 }
    }

    /// Counts one seat's end.
    pub(crate) fn count(&mut self, usable: bool) -> Verdict {
        self.outstanding = self.outstanding.saturating_sub(1);
        self.usable += usize::from(usable);
        if self.outstanding == 0 {
            Verdict::Done
        } else if self.usable >= self.quorum.get() {
            Verdict::Grace
        } else {
            // A quorum out of reach is no reason to stop: the seats that are left may still answer.
            Verdict::Wait
        }
    }

    pub(crate) fn usable(&self) -> usize {
        self.usable
    }
}
