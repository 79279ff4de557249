//! What a run's events mean to a client: words, drafts, and an end with calls or without.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use super::tools::{Call, Splitter, Tools};
use crate::{
    members::TokenLogprob,
    runs::events::{At, Event, RunFinished, StageKind},
    stages::FinishReason,
};

/// One answer on its way.
pub(super) struct Choice {
    splitter: Splitter,
    /// Of words that have not gone out.
    logprobs: Vec<TokenLogprob>,
    stages: Vec<StageKind>,
    authors: BTreeMap<At, (String, String)>,
}

/// What came of an event.
pub(super) enum Step {
    Nothing,
    Words { text: String, logprobs: Vec<TokenLogprob> },
    Draft(Draft),
    End(Box<End>),
}

/// A draft that an answer is made of.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    at: At,
    model: String,
    role: String,
    text: String,
}

/// How an answer ended.
#[derive(Debug)]
pub(super) struct End {
    /// Words that waited.
    pub(super) text: String,
    pub(super) logprobs: Vec<TokenLogprob>,
    pub(super) calls: Vec<Call>,
    pub(super) finish_reason: FinishReason,
    pub(super) run_id: String,
    degraded: bool,
    warnings: Vec<String>,
}

impl Choice {
    pub(super) fn new(tools: Option<Arc<Tools>>) -> Self {
        let (logprobs, stages, authors) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { splitter: Splitter::new(tools), logprobs, stages, authors }
    }

    pub(super) fn take(&mut self, event: Event) -> Step {
        match event {
            Event::RunStarted(started) => self.stages = started.stages.iter().map(|stage| stage.kind).collect(),
            Event::MemberStarted(member) => {
                self.authors.insert(member.at, (member.model, member.role));
            }
            Event::MemberFinished(member) if self.stages.get(member.at.stage) == Some(&StageKind::Propose) => {
                let (model, role) = self.authors.remove(&member.at).unwrap_or_default();
                return Step::Draft(Draft { at: member.at, model, role, text: member.text });
            }
            Event::AnswerDelta { text, logprobs } => {
                self.logprobs.extend(logprobs);
                let text = self.splitter.push(&text);
                if !text.is_empty() {
                    return Step::Words { text, logprobs: std::mem::take(&mut self.logprobs) };
                }
            }
            Event::RunFinished(finished) => return Step::End(Box::new(self.end(finished))),
            _ => {}
        }
        Step::Nothing
    }

    fn end(&mut self, finished: RunFinished) -> End {
        let RunFinished { run_id, finish_reason, degraded, warnings, .. } = finished;
        let (text, calls) = std::mem::replace(&mut self.splitter, Splitter::new(None)).finish();
        let logprobs = std::mem::take(&mut self.logprobs);
        End { text, logprobs, calls, finish_reason, run_id, degraded, warnings }
    }
}

impl End {
    /// Why it ended, as chat completions call it.
    pub(super) fn reason(&self) -> &'static str {
        if self.calls.is_empty() { reason(self.finish_reason) } else { "tool_calls" }
    }

    /// What only Synod tells.
    pub(super) fn told(&self) -> Value {
        json!({"run_id": self.run_id, "degraded": self.degraded, "warnings": self.warnings})
    }
}

impl Draft {
    pub(super) fn told(&self) -> Value {
        let Self { at: At { stage, seat }, model, role, text } = self;
        json!({"stage": stage, "seat": seat, "model": model, "role": role, "text": text})
    }
}

pub(super) fn reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length | FinishReason::Cancelled => "length",
    }
}
