//! Events of a run onto the wire.

use synod_proto::v1::{self, ask_response};

use super::{ms, small};
use crate::runs::events::{
    Draft, Event, MemberFailed, MemberFinished, MemberStarted, RunFailed, RunFinished, RunStarted, StageFinished,
    StageKind, StagePlan,
};

impl From<Event> for v1::AskResponse {
    fn from(event: Event) -> Self {
        use ask_response::Event as Wire;
        let event = match event {
            Event::RunStarted(started) => Wire::RunStarted(started.into()),
            Event::MemberStarted(started) => Wire::MemberStarted(started.into()),
            Event::MemberDelta { at, text } => {
                Wire::MemberDelta(v1::MemberDelta { stage: small(at.stage), seat: small(at.seat), text })
            }
            Event::MemberFinished(finished) => Wire::MemberFinished(finished.into()),
            Event::MemberFailed(failed) => Wire::MemberFailed(failed.into()),
            Event::StageFinished(finished) => Wire::StageFinished(finished.into()),
            Event::AnswerDelta { text, .. } => Wire::AnswerDelta(v1::AnswerDelta { text }),
            Event::RunFinished(finished) => Wire::RunFinished(finished.into()),
            Event::RunFailed(failed) => Wire::RunFailed(failed.into()),
        };
        Self { event: Some(event) }
    }
}

impl From<StageKind> for v1::StageKind {
    fn from(kind: StageKind) -> Self {
        match kind {
            StageKind::Propose => Self::Propose,
            StageKind::Select => Self::Select,
            StageKind::Gate => Self::Gate,
            StageKind::Act => Self::Act,
            StageKind::Synthesize => Self::Synthesize,
        }
    }
}

impl From<StagePlan> for v1::StagePlan {
    fn from(plan: StagePlan) -> Self {
        Self { kind: v1::StageKind::from(plan.kind).into(), models: plan.models }
    }
}

impl From<RunStarted> for v1::RunStarted {
    fn from(started: RunStarted) -> Self {
        let RunStarted { run_id, topology, stages, seed, prompts } = started;
        Self { run_id, topology, stages: stages.into_iter().map(Into::into).collect(), seed, prompts }
    }
}

impl From<MemberStarted> for v1::MemberStarted {
    fn from(started: MemberStarted) -> Self {
        let MemberStarted { at, node, model, role, nested_run_id } = started;
        Self { stage: small(at.stage), seat: small(at.seat), node, model, role, nested_run_id }
    }
}

impl From<MemberFinished> for v1::MemberFinished {
    fn from(finished: MemberFinished) -> Self {
        Self {
            stage: small(finished.at.stage),
            seat: small(finished.at.seat),
            finish_reason: v1::FinishReason::from(finished.finish_reason).into(),
            usage: Some(finished.usage.into()),
            timings: Some(finished.timings.into()),
            text: finished.text,
            mean_logprob: finished.mean_logprob,
        }
    }
}

impl From<MemberFailed> for v1::MemberFailed {
    fn from(failed: MemberFailed) -> Self {
        let MemberFailed { at, error, text, node } = failed;
        Self { stage: small(at.stage), seat: small(at.seat), error, text, node }
    }
}

impl From<StageFinished> for v1::StageFinished {
    fn from(finished: StageFinished) -> Self {
        Self {
            stage: small(finished.stage),
            kind: v1::StageKind::from(finished.kind).into(),
            answered: small(finished.answered),
            failed: small(finished.failed),
            ms: ms(finished.took),
            decision: finished.decision,
        }
    }
}

impl From<RunFinished> for v1::RunFinished {
    fn from(finished: RunFinished) -> Self {
        Self {
            run_id: finished.run_id,
            answer: finished.answer,
            finish_reason: v1::FinishReason::from(finished.finish_reason).into(),
            usage: Some(finished.usage.into()),
            timings: Some(finished.timings.into()),
            degraded: finished.degraded,
            warnings: finished.warnings,
        }
    }
}

impl From<RunFailed> for v1::RunFailed {
    fn from(failed: RunFailed) -> Self {
        Self {
            run_id: failed.run_id,
            error: failed.error,
            answer_so_far: failed.answer_so_far,
            best_draft: failed.best_draft.map(Into::into),
            usage: Some(failed.usage.into()),
            timings: Some(failed.timings.into()),
            warnings: failed.warnings,
        }
    }
}

impl From<Draft> for v1::Draft {
    fn from(draft: Draft) -> Self {
        let Draft { at, model, text } = draft;
        Self { stage: small(at.stage), seat: small(at.seat), model, text }
    }
}
