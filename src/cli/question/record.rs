//! A run, gathered from its events: what `ask --json` prints.

use std::time::Duration;

use serde::Serialize;
use synod_aggregator::{
    FinishReason,
    events::{At, Event, StageKind},
};

/// The most seats of a stage that are believed.
const MAX_SEATS: usize = 1024;

/// A run.
#[derive(Debug, Default, Serialize)]
pub(in crate::cli) struct Record {
    pub(in crate::cli) answer: String,
    pub(in crate::cli) run_id: String,
    pub(in crate::cli) topology: String,
    finish_reason: &'static str,
    degraded: bool,
    pub(in crate::cli) warnings: Vec<String>,
    usage: Usage,
    pub(in crate::cli) timings: Timings,
    pub(in crate::cli) seed: u64,
    pub(in crate::cli) stages: Vec<Stage>,
}

#[derive(Debug, Default, Serialize)]
struct Usage {
    prompt_tokens: u32,
    completion_tokens: u32,
    cached_prompt_tokens: u32,
}

/// How long it took.
#[derive(Debug, Default, Serialize)]
pub(in crate::cli) struct Timings {
    pub(in crate::cli) total_ms: u128,
    first_token_ms: u128,
}

/// A stage of the run.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct Stage {
    pub(in crate::cli) kind: &'static str,
    pub(in crate::cli) members: Vec<Member>,
    /// What a select or gate decided, and why.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(in crate::cli) decision: String,
}

/// A seat of a stage.
#[derive(Debug, Default, Serialize)]
pub(in crate::cli) struct Member {
    pub(in crate::cli) node: String,
    /// The run of the topology that wrote in place of a model.
    #[serde(skip_serializing_if = "String::is_empty")]
    nested_run_id: String,
    pub(in crate::cli) model: String,
    pub(in crate::cli) role: String,
    pub(in crate::cli) text: String,
    finish_reason: &'static str,
    pub(in crate::cli) error: Option<String>,
    prompt_tokens: u32,
    completion_tokens: u32,
    ms: u128,
    mean_logprob: Option<f64>,
}

impl Record {
    /// Takes in what happened next.
    pub(in crate::cli) fn take(&mut self, event: Event) {
        match event {
            Event::RunStarted(started) => {
                (self.run_id, self.topology, self.seed) = (started.run_id, started.topology, started.seed);
                let member = |model| Member { model, ..Member::default() };
                self.stages = started
                    .stages
                    .into_iter()
                    .map(|stage| Stage {
                        kind: match stage.kind {
                            StageKind::Propose => "propose",
                            StageKind::Select => "select",
                            StageKind::Gate => "gate",
                            StageKind::Act => "act",
                            StageKind::Synthesize => "synthesize",
                        },
                        members: stage.models.into_iter().map(member).collect(),
                        decision: String::new(),
                    })
                    .collect();
            }
            Event::MemberStarted(started) => {
                if let Some(member) = self.member(started.at) {
                    (member.node, member.model, member.role) = (started.node, started.model, started.role);
                    member.nested_run_id = started.nested_run_id;
                }
            }
            Event::MemberFinished(finished) => {
                if let Some(member) = self.member(finished.at) {
                    member.text = finished.text;
                    member.finish_reason = reason(finished.finish_reason);
                    member.prompt_tokens = finished.usage.prompt_tokens;
                    member.completion_tokens = finished.usage.completion_tokens;
                    member.ms = finished.timings.total.as_millis();
                    member.mean_logprob = Some(finished.mean_logprob);
                }
            }
            Event::MemberFailed(failed) => {
                if let Some(member) = self.member(failed.at) {
                    (member.text, member.error) = (failed.text, Some(failed.error));
                }
            }
            Event::RunFinished(end) => {
                (self.answer, self.degraded, self.warnings) = (end.answer, end.degraded, end.warnings);
                self.finish_reason = reason(end.finish_reason);
                self.count(end.usage, end.timings.total, end.timings.first_token);
            }
            Event::RunFailed(end) => self.count(end.usage, end.timings.total, end.timings.first_token),
            Event::StageFinished(finished) => {
                if let Some(stage) = self.stages.get_mut(finished.stage) {
                    stage.decision = finished.decision;
                }
            }
            Event::MemberDelta { .. } | Event::AnswerDelta { .. } => {}
        }
    }

    /// The seat, if the run has it. A judge asked twice, a second round, a window have seats beyond those planned.
    pub(in crate::cli) fn member(&mut self, at: At) -> Option<&mut Member> {
        let members = &mut self.stages.get_mut(at.stage)?.members;
        if (members.len()..MAX_SEATS).contains(&at.seat) {
            members.resize_with(at.seat + 1, Member::default);
        }
        members.get_mut(at.seat)
    }

    fn count(&mut self, usage: synod_aggregator::members::Usage, total: Duration, first_token: Duration) {
        self.usage = Usage {
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            cached_prompt_tokens: usage.cached_prompt_tokens,
        };
        self.timings = Timings { total_ms: total.as_millis(), first_token_ms: first_token.as_millis() };
    }
}

fn reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::Cancelled => "cancelled",
    }
}
