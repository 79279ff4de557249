//! What a stage sees of its run, and how a run fails.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    events::{At, Draft, MemberFinished, Timings},
    log::RunLog,
    question::AnswerForm,
    runner::Shared,
};
use crate::{
    error::Error,
    members::{Answered, Call, Lost, Nodes, Parts, Policy},
    metrics::Loss,
    prompts::Message,
    stages::{Material, usable::usable},
    topology::{Member, Sampling},
};

/// What a stage sees of its run.
pub(super) struct Context<'r> {
    pub(super) shared: &'r Arc<Shared>,
    pub(super) nodes: &'r dyn Nodes,
    pub(super) log: &'r RunLog,
    pub(super) material: Material<'r>,
    pub(super) policy: Policy,
    /// Alternatives that drafts are weighed against.
    pub(super) top_logprobs: u32,
    /// Whether one member will call an API, so that others who propose calls advise it.
    pub(super) acts: bool,
    /// Whether members write to their `max_tokens` whatever they would say (benchmarks).
    pub(super) ignore_end: bool,
    /// What the answer must look like.
    pub(super) form: &'r AnswerForm,
    /// A margin before the run's own, so that there is time to say how it ended.
    pub(super) deadline: Instant,
}

/// A run that has no answer.
pub(super) struct Failed {
    pub(super) error: Error,
    pub(super) best_draft: Option<Draft>,
}

impl Failed {
    pub(super) fn without_draft(error: Error) -> Self {
        Self { error, best_draft: None }
    }
}

impl<'r> Context<'r> {
    /// The same for a part of a run that has only so much of the time left.
    pub(super) fn within(&self, share: Duration) -> Context<'r> {
        let Self { shared, nodes, log, material, ref policy, top_logprobs, acts, ignore_end, form, deadline } = *self;
        let deadline = deadline.min(Instant::now() + share);
        Context { shared, nodes, log, material, policy: policy.clone(), top_logprobs, acts, ignore_end, form, deadline }
    }

    /// How much of the time is left.
    pub(super) fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// A call of a seat's member in its plainest form.
    pub(super) fn call(
        &self,
        at: At,
        member: &Member,
        messages: Vec<Message>,
        parts: Parts,
        sampling: Sampling,
    ) -> Call {
        Call {
            model: member.author.name().to_owned(),
            messages,
            parts,
            quoted_parts: 0,
            sampling,
            grammar: None,
            ignore_end: self.ignore_end,
            top_logprobs: 0,
            run_id: self.log.run_id().to_owned(),
            at,
            record: false,
            deadline: self.deadline,
        }
    }

    /// The usable text of what a member wrote, or why it has none.
    pub(super) fn usable(&self, text: &str) -> Result<String, &'static str> {
        // Past the end of its turn a model has nothing to say, and may say that over and over.
        if self.ignore_end { Ok(text.trim().to_owned()) } else { usable(text) }
    }

    /// A seat has an answer, which the run takes.
    pub(super) fn finish(&self, at: At, model: &str, answered: Answered) {
        self.shared.metrics.answered(model, &answered);
        let Answered { text, finish_reason, usage, mean_logprob, first_token, total, .. } = answered;
        let timings = Timings { total, first_token };
        self.log.member_finished(MemberFinished { at, text, finish_reason, usage, timings, mean_logprob });
    }

    /// No call for a seat succeeded; the run goes on without it, and says so.
    pub(super) fn lose_failed(&self, at: At, model: &str, lost: Lost) {
        self.lose(at, model, Loss::Failed(lost.error.code), lost.error.message);
    }

    /// A seat is lost; the run goes on without it, and says so.
    pub(super) fn lose(&self, at: At, model: &str, loss: Loss, why: String) {
        self.shared.metrics.lost(loss);
        self.log.degrade(format!("stage {} seat {} ({model}) is lost: {why}", at.stage, at.seat));
        self.log.member_failed(at, why);
    }

    /// Says what a seat did not see whole.
    pub(super) fn tell_cuts(&self, at: At, model: &str, quoted: &[(usize, usize)]) {
        for cut in self.log.progress(at).cuts {
            let whose = quoted.get(cut.quoted_index).map_or_else(
                || format!("quoted part {}", cut.quoted_index),
                |(stage, seat)| format!("the draft of stage {stage} seat {seat}"),
            );
            let (kept, all) = (cut.tokens_kept, cut.tokens_kept.saturating_add(cut.tokens_cut));
            let who = format!("stage {} seat {} ({model})", at.stage, at.seat);
            self.log.degrade(format!("{who} saw only {kept} of {all} tokens of {whose}: its context is full"));
        }
    }
}
