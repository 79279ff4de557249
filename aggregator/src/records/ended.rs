//! The end of a run, from the events that its client was sent.

use super::{Ended, Line, Seat, StageEnd, Tokens, unix_ms};
use crate::{
    members::Usage,
    runs::{
        RunRecord, RunState, RunSummary,
        events::{At, Event},
    },
};

impl From<&RunRecord> for Ended {
    fn from(run: &RunRecord) -> Self {
        let mut ended = Self {
            state: state_name(run.summary.state).to_owned(),
            degraded: run.summary.degraded,
            error: run.summary.error.clone(),
            total_ms: ms(run.summary.total),
            ..Self::default()
        };
        run.events.iter().for_each(|event| ended.take(event));
        ended
    }
}

impl Ended {
    fn take(&mut self, event: &Event) {
        match event {
            Event::MemberStarted(started) => {
                let seat = self.seat(started.at);
                seat.model.clone_from(&started.model);
                seat.role.clone_from(&started.role);
                seat.node.clone_from(&started.node);
                seat.nested_run_id.clone_from(&started.nested_run_id);
            }
            Event::MemberFinished(finished) => {
                let seat = self.seat(finished.at);
                seat.text.clone_from(&finished.text);
                seat.finish_reason = finished.finish_reason.name().to_owned();
                seat.usage = finished.usage.into();
                (seat.ms, seat.first_token_ms) = (ms(finished.timings.total), ms(finished.timings.first_token));
                seat.mean_logprob = finished.mean_logprob;
            }
            Event::MemberFailed(failed) => {
                let seat = self.seat(failed.at);
                seat.text.clone_from(&failed.text);
                seat.error.clone_from(&failed.error);
            }
            Event::StageFinished(stage) => self.stages.push(StageEnd {
                stage: stage.stage,
                answered: stage.answered,
                failed: stage.failed,
                ms: ms(stage.took),
                decision: stage.decision.clone(),
            }),
            Event::RunFinished(run) => {
                self.answer.clone_from(&run.answer);
                self.finish_reason = run.finish_reason.name().to_owned();
                self.warnings.clone_from(&run.warnings);
                (self.usage, self.first_token_ms) = (run.usage.into(), ms(run.timings.first_token));
            }
            Event::RunFailed(run) => {
                self.answer.clone_from(&run.answer_so_far);
                self.warnings.clone_from(&run.warnings);
                (self.usage, self.first_token_ms) = (run.usage.into(), ms(run.timings.first_token));
            }
            Event::RunStarted(_) | Event::MemberDelta { .. } | Event::AnswerDelta { .. } => {}
        }
    }

    fn seat(&mut self, at: At) -> &mut Seat {
        let found = self.seats.binary_search_by_key(&(at.stage, at.seat), |seat| (seat.stage, seat.seat));
        let place = found.unwrap_or_else(|place| {
            self.seats.insert(place, Seat { stage: at.stage, seat: at.seat, ..Seat::default() });
            place
        });
        &mut self.seats[place]
    }
}

impl From<RunSummary> for Line {
    fn from(run: RunSummary) -> Self {
        Self {
            run_id: run.run_id,
            topology: run.topology,
            began_ms: unix_ms(run.began),
            state: state_name(run.state).to_owned(),
            total_ms: ms(run.total),
            degraded: run.degraded,
            error: run.error,
        }
    }
}

impl From<Usage> for Tokens {
    fn from(usage: Usage) -> Self {
        Self { prompt: usage.prompt_tokens, cached: usage.cached_prompt_tokens, completion: usage.completion_tokens }
    }
}

fn state_name(state: RunState) -> &'static str {
    match state {
        RunState::Running => "running",
        RunState::Finished => "finished",
        RunState::Failed => "failed",
        RunState::Cancelled => "cancelled",
    }
}

pub(super) fn ms(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
