//! Events of a run off the wire, for clients.

use std::time::Duration;

use synod_proto::v1::{self, ask_response};

use crate::runs::events::{
    At, Draft, Event, MemberFailed, MemberFinished, MemberStarted, RunFailed, RunFinished, RunStarted, StageFinished,
    StageKind, StagePlan,
};

/// `None` for an event of a kind that this version does not know: a newer aggregator may have more to tell.
pub(crate) fn event_of(response: v1::AskResponse) -> Option<Event> {
    response.event.map(Event::from)
}

impl From<ask_response::Event> for Event {
    fn from(event: ask_response::Event) -> Self {
        use ask_response::Event as Wire;
        match event {
            Wire::RunStarted(started) => Self::RunStarted(started.into()),
            Wire::MemberStarted(started) => Self::MemberStarted(started.into()),
            Wire::MemberDelta(delta) => Self::MemberDelta { at: at(delta.stage, delta.seat), text: delta.text },
            Wire::MemberFinished(finished) => Self::MemberFinished(finished.into()),
            Wire::MemberFailed(failed) => Self::MemberFailed(failed.into()),
            Wire::StageFinished(finished) => Self::StageFinished(finished.into()),
            Wire::AnswerDelta(delta) => Self::AnswerDelta { text: delta.text, logprobs: Vec::new() },
            Wire::RunFinished(finished) => Self::RunFinished(finished.into()),
            Wire::RunFailed(failed) => Self::RunFailed(failed.into()),
        }
    }
}

fn large(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn at(stage: u32, seat: u32) -> At {
    At { stage: large(stage), seat: large(seat) }
}

impl From<v1::StageKind> for StageKind {
    fn from(kind: v1::StageKind) -> Self {
        match kind {
            v1::StageKind::Synthesize => Self::Synthesize,
            v1::StageKind::Select => StageKind::Select,
            v1::StageKind::Gate => StageKind::Gate,
            v1::StageKind::Act => StageKind::Act,
            v1::StageKind::Propose | v1::StageKind::Unspecified => Self::Propose,
        }
    }
}

impl From<v1::StagePlan> for StagePlan {
    fn from(plan: v1::StagePlan) -> Self {
        Self { kind: plan.kind().into(), models: plan.models }
    }
}

impl From<v1::RunStarted> for RunStarted {
    fn from(started: v1::RunStarted) -> Self {
        let stages = started.stages.into_iter().map(Into::into).collect();
        let v1::RunStarted { run_id, topology, seed, prompts, .. } = started;
        Self { run_id, topology, stages, seed, prompts }
    }
}

impl From<v1::MemberStarted> for MemberStarted {
    fn from(started: v1::MemberStarted) -> Self {
        let v1::MemberStarted { stage, seat, node, model, role, nested_run_id } = started;
        Self { at: at(stage, seat), node, model, role, nested_run_id }
    }
}

impl From<v1::MemberFinished> for MemberFinished {
    fn from(finished: v1::MemberFinished) -> Self {
        Self {
            at: at(finished.stage, finished.seat),
            finish_reason: finished.finish_reason().into(),
            usage: finished.usage.unwrap_or_default().into(),
            timings: finished.timings.unwrap_or_default().into(),
            text: finished.text,
            mean_logprob: finished.mean_logprob,
        }
    }
}

impl From<v1::MemberFailed> for MemberFailed {
    fn from(failed: v1::MemberFailed) -> Self {
        let v1::MemberFailed { stage, seat, error, text, node } = failed;
        Self { at: at(stage, seat), error, text, node }
    }
}

impl From<v1::StageFinished> for StageFinished {
    fn from(finished: v1::StageFinished) -> Self {
        Self {
            stage: large(finished.stage),
            kind: finished.kind().into(),
            answered: large(finished.answered),
            failed: large(finished.failed),
            took: Duration::from_millis(finished.ms.into()),
            decision: finished.decision,
        }
    }
}

impl From<v1::RunFinished> for RunFinished {
    fn from(finished: v1::RunFinished) -> Self {
        Self {
            finish_reason: finished.finish_reason().into(),
            usage: finished.usage.unwrap_or_default().into(),
            timings: finished.timings.unwrap_or_default().into(),
            run_id: finished.run_id,
            answer: finished.answer,
            degraded: finished.degraded,
            warnings: finished.warnings,
        }
    }
}

impl From<v1::RunFailed> for RunFailed {
    fn from(failed: v1::RunFailed) -> Self {
        let draft = |draft: v1::Draft| Draft { at: at(draft.stage, draft.seat), model: draft.model, text: draft.text };
        Self {
            run_id: failed.run_id,
            error: failed.error,
            answer_so_far: failed.answer_so_far,
            best_draft: failed.best_draft.map(draft),
            usage: failed.usage.unwrap_or_default().into(),
            timings: failed.timings.unwrap_or_default().into(),
            warnings: failed.warnings,
        }
    }
}
