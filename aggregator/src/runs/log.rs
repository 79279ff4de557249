//! What a run has done so far: events to its client, and what of them is kept.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::{
    events::{At, Event, MemberFailed, MemberFinished, MemberStarted, RunFailed, RunFinished, Timings},
    outbox::Outbox,
    registry::{RunRecord, RunState, RunSummary},
};
use crate::{
    error::{Error, ErrorCode, Retry},
    members::{Cut, TokenLogprob, Usage},
    records::Recorder,
};

/// The log of one run. Every event goes through it.
pub(super) struct RunLog {
    run_id: String,
    topology: String,
    tenant: String,
    began: SystemTime,
    started: Instant,
    outbox: Arc<Outbox>,
    recorder: Option<Arc<Recorder>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Everything but deltas.
    kept: Vec<Event>,
    /// Seats at work.
    seats: BTreeMap<At, Progress>,
    answer: String,
    /// Of the answer's tokens whose text is still to come.
    logprobs: Vec<TokenLogprob>,
    first_token: Option<Instant>,
    usage: Usage,
    warnings: Vec<String>,
    degraded: bool,
    /// A member may have called an API.
    acted: bool,
    end: Option<End>,
}

struct End {
    state: RunState,
    error: String,
    at: Instant,
}

/// How far a seat has come.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress {
    pub(super) node: String,
    pub(super) text: String,
    pub(super) usage: Usage,
    pub(super) cuts: Vec<Cut>,
}

impl RunLog {
    pub(super) fn new(run_id: String, topology: String, outbox: Arc<Outbox>, recorder: Option<Arc<Recorder>>) -> Self {
        let state = Mutex::default();
        let (tenant, began, started) = (String::new(), SystemTime::now(), Instant::now());
        Self { run_id, topology, tenant, began, started, outbox, recorder, state }
    }

    /// The same on behalf of somebody.
    pub(super) fn of(self, tenant: String) -> Self {
        Self { tenant, ..self }
    }

    /// On whose behalf; empty for nobody in particular.
    pub(super) fn tenant(&self) -> &str {
        &self.tenant
    }

    pub(super) fn topology(&self) -> &str {
        &self.topology
    }

    pub(super) fn run_id(&self) -> &str {
        &self.run_id
    }

    /// An event that is kept as it is.
    pub(super) fn event(&self, event: Event) {
        self.lock().kept.push(event.clone());
        self.outbox.push(event);
    }

    /// Something was lost or cut.
    pub(super) fn degrade(&self, warning: String) {
        tracing::info!(run_id = self.run_id, warning, "run degraded");
        let mut state = self.lock();
        state.degraded = true;
        state.warnings.push(warning);
    }

    pub(super) fn member_started(&self, started: MemberStarted) {
        self.lock().seats.insert(started.at, Progress { node: started.node.clone(), ..Progress::default() });
        self.event(Event::MemberStarted(started));
    }

    pub(super) fn member_accepted(&self, at: At, prompt_tokens: u32, cuts: &[Cut]) {
        if let Some(progress) = self.lock().seats.get_mut(&at) {
            progress.usage.prompt_tokens = prompt_tokens;
            progress.cuts = cuts.to_vec();
        }
    }

    /// The tokens of the answer's next text.
    pub(super) fn logprobs(&self, tokens: Vec<TokenLogprob>) {
        self.lock().logprobs.extend(tokens);
    }

    /// More text of a seat; of the answer itself, where the seat writes it.
    pub(super) fn delta(&self, at: At, text: &str, tokens: u32, is_answer: bool) {
        let mut state = self.lock();
        if let Some(progress) = state.seats.get_mut(&at) {
            progress.usage.completion_tokens = progress.usage.completion_tokens.saturating_add(tokens);
            progress.text.push_str(text);
        }
        if text.is_empty() {
            return;
        }
        let text = text.to_owned();
        if is_answer {
            state.first_token.get_or_insert_with(Instant::now);
            state.answer.push_str(&text);
            let logprobs = std::mem::take(&mut state.logprobs);
            drop(state);
            self.outbox.push(Event::AnswerDelta { text, logprobs });
        } else {
            drop(state);
            self.outbox.push(Event::MemberDelta { at, text });
        }
    }

    pub(super) fn member_finished(&self, finished: MemberFinished) {
        let mut state = self.lock();
        state.seats.remove(&finished.at);
        state.usage += finished.usage;
        drop(state);
        self.event(Event::MemberFinished(finished));
    }

    /// A seat is lost. What it cost counts all the same, as far as it is known.
    pub(super) fn member_failed(&self, at: At, error: String) {
        let mut state = self.lock();
        let progress = state.seats.remove(&at).unwrap_or_default();
        state.usage += progress.usage;
        drop(state);
        self.event(Event::MemberFailed(MemberFailed { at, error, text: progress.text, node: progress.node }));
    }

    pub(super) fn progress(&self, at: At) -> Progress {
        self.lock().seats.get(&at).cloned().unwrap_or_default()
    }

    /// The answer in one piece, where no member wrote it as such.
    pub(super) fn whole_answer(&self, text: &str) {
        let mut state = self.lock();
        state.first_token.get_or_insert_with(Instant::now);
        state.answer = text.to_owned();
        drop(state);
        self.outbox.push(Event::AnswerDelta { text: text.to_owned(), logprobs: Vec::new() });
    }

    /// Ends the run with an answer.
    pub(super) fn finish(&self, finish_reason: crate::stages::FinishReason) {
        let state = self.lock();
        let finished = RunFinished {
            run_id: self.run_id.clone(),
            answer: state.answer.clone(),
            finish_reason,
            usage: state.usage,
            timings: self.timings(&state),
            degraded: state.degraded,
            warnings: state.warnings.clone(),
        };
        drop(state);
        self.end(RunState::Finished, String::new(), Event::RunFinished(finished), None);
    }

    /// Ends the run without one.
    pub(super) fn fail(&self, mut error: Error, best_draft: Option<super::events::Draft>) {
        let state = self.lock();
        if state.acted && error.code.retry() != Retry::Never && error.code != ErrorCode::MemberTimedOut {
            // Whoever asks again by itself would have the API called again.
            (error.code, error.retry_after) = (ErrorCode::SynthesisLost, None);
        }
        let failed = RunFailed {
            run_id: self.run_id.clone(),
            error: error.message.clone(),
            answer_so_far: state.answer.clone(),
            best_draft,
            usage: state.usage,
            timings: self.timings(&state),
            warnings: state.warnings.clone(),
        };
        drop(state);
        let run_state = if error.code == ErrorCode::Cancelled { RunState::Cancelled } else { RunState::Failed };
        self.end(run_state, error.message.clone(), Event::RunFailed(failed), Some(error));
    }

    /// From here on an API may have been called for this run.
    pub(super) fn acts(&self) {
        self.lock().acted = true;
    }

    pub(super) fn has_ended(&self) -> bool {
        self.lock().end.is_some()
    }

    /// Bytes of text that the record holds, for the registry's limit.
    pub(super) fn bytes(&self) -> usize {
        self.lock().kept.iter().map(Event::text_bytes).sum()
    }

    pub(super) fn summary(&self) -> RunSummary {
        let state = self.lock();
        let (run_state, error, at) = match &state.end {
            Some(end) => (end.state, end.error.clone(), end.at),
            None => (RunState::Running, String::new(), Instant::now()),
        };
        RunSummary {
            run_id: self.run_id.clone(),
            topology: self.topology.clone(),
            tenant: self.tenant.clone(),
            began: self.began,
            state: run_state,
            total: at - self.started,
            degraded: state.degraded,
            error,
        }
    }

    /// The run as it stands: kept events, with what seats at work have written so far as one delta each.
    pub(super) fn record(&self) -> RunRecord {
        let summary = self.summary();
        let state = self.lock();
        let mut events = state.kept.clone();
        if state.end.is_none() {
            let unfinished = state.seats.iter().filter(|(_, progress)| !progress.text.is_empty());
            events.extend(unfinished.map(|(at, seat)| Event::MemberDelta { at: *at, text: seat.text.clone() }));
        }
        RunRecord { summary, events }
    }

    fn end(&self, run_state: RunState, message: String, event: Event, error: Option<Error>) {
        let mut state = self.lock();
        if state.end.is_some() {
            return;
        }
        state.end = Some(End { state: run_state, error: message, at: Instant::now() });
        state.seats.clear();
        state.kept.push(event.clone());
        drop(state);
        // Before its client knows: who then asks for the record is to find it.
        if let Some(recorder) = &self.recorder {
            recorder.ended(self.record());
        }
        self.outbox.push(event);
        self.outbox.close(error);
    }

    /// How long it took to the first token of its answer, if that came.
    pub(super) fn first_token(&self) -> Option<Duration> {
        self.lock().first_token.map(|at| at - self.started)
    }

    /// Whether something was lost or cut so far, and what it cost.
    pub(super) fn so_far(&self) -> (bool, Usage) {
        let state = self.lock();
        (state.degraded, state.usage)
    }

    /// When it began.
    pub(super) fn began(&self) -> SystemTime {
        self.began
    }

    fn timings(&self, state: &State) -> Timings {
        let first_token = state.first_token.map(|at| at - self.started).unwrap_or_default();
        Timings { total: self.started.elapsed(), first_token }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
