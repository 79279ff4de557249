//! What a run costs at most.

use super::{Author, Choice, Condition, Gate, MAX_RANKED, Member, Propose, Select, Stage, Synthesize, Topology};

impl Topology {
    /// The calls of a run when nothing is retried, at most: gates may end it sooner.
    pub fn calls(&self) -> usize {
        let (mut calls, mut drafts) = (0_usize, 0);
        for stage in self.stages() {
            calls = calls.saturating_add(stage.calls(drafts));
            drafts = match stage {
                Stage::Propose(propose) => propose.seats(),
                // What came of it is the only draft; where nothing is called, those in words go on.
                Stage::Act(_) => drafts + 1,
                Stage::Select(select) => select.keep.min(drafts),
                Stage::Gate(_) | Stage::Synthesize(_) => drafts,
            };
        }
        calls
    }

    /// How deep topologies stand in it: 0 where all members are models.
    pub fn depth(&self) -> usize {
        let inner = |member: &Member| match &member.author {
            Author::Model(_) => 0,
            Author::Topology(inner) => 1 + inner.depth(),
        };
        self.stages().iter().flat_map(Stage::members).map(inner).max().unwrap_or(0)
    }
}

impl Stage {
    /// The calls of the stage when so many drafts come to it.
    fn calls(&self, drafts: usize) -> usize {
        match self {
            Self::Propose(propose) => propose.calls(),
            // Each question is asked twice, the second time with the drafts in reverse order.
            Self::Select(Select { by: Choice::Judge(_), .. }) => 2,
            Self::Select(Select { by: Choice::Pairwise(_), .. }) => {
                let ranked = drafts.min(MAX_RANKED);
                ranked * ranked.saturating_sub(1)
            }
            Self::Gate(Gate { when: Condition::Judge(_), .. }) | Self::Act(_) => 1,
            Self::Select(_) | Self::Gate(_) => 0,
            Self::Synthesize(synthesize) => synthesize.calls(drafts),
        }
    }
}

impl Propose {
    fn calls(&self) -> usize {
        let of = |member: &Member| match &member.author {
            Author::Model(_) => member.samples.get(),
            Author::Topology(inner) => member.samples.get().saturating_mul(inner.calls()),
        };
        let once = self.members.iter().map(of).fold(0, usize::saturating_add);
        once.saturating_mul(self.rounds.get())
    }
}

impl Synthesize {
    fn calls(&self, drafts: usize) -> usize {
        match self.window {
            // The first window takes as many drafts as it holds, each later one has the last answer in one place.
            Some(window) if drafts > window => 1 + (drafts - window).div_ceil(window - 1),
            _ => 1,
        }
    }
}
