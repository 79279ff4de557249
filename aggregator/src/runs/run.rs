//! One run: its stages in order, within its deadline, to exactly one end.

use std::sync::Arc;

use synod_telemetry::{names::attribute, spans};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use super::{
    act,
    context::{Context, Failed},
    events::{Event, RunStarted, StageKind, StagePlan},
    gate::{self, Outcome},
    log::RunLog,
    overlap::Feed,
    propose::{self, Place},
    question::{AnswerForm, Asked},
    runner::Shared,
    select, synthesize,
};
use crate::{
    admission::Admitted,
    error::{Error, ErrorCode},
    members::Policy,
    prompts::Conversation,
    records::{Began, Plan, unix_ms},
    stages::{Candidate, FinishReason, Material, budget, synthesize::script},
    topology::{Overlap, Propose, Rounds, Sampling, Stage, Synthesize, Topology},
};

/// What a run is made of once the question was accepted.
pub(super) struct Run {
    pub(super) shared: Arc<Shared>,
    pub(super) log: Arc<RunLog>,
    /// For the record, where there is one.
    pub(super) asked: Option<Box<Asked>>,
    pub(super) topology: Arc<Topology>,
    pub(super) conversation: Conversation,
    pub(super) overrides: Sampling,
    pub(super) seed: u64,
    pub(super) seed_is_asked: bool,
    pub(super) ignore_end: bool,
    pub(super) form: AnswerForm,
    pub(super) deadline: Instant,
}

/// Ends a run that ends in no other way: its client would wait for ever.
pub(super) struct EndsOnce {
    pub(super) log: Arc<RunLog>,
    /// Why it ended then.
    pub(super) otherwise: fn() -> Error,
}

impl Drop for EndsOnce {
    fn drop(&mut self) {
        self.log.fail((self.otherwise)(), None);
    }
}

/// Runs it, unless whoever asked goes away or the process stops; remembers how it ended.
pub(super) async fn supervise(run: Run, slot: Admitted, gone: CancellationToken, stop: CancellationToken) {
    let end = EndsOnce {
        log: Arc::clone(&run.log),
        otherwise: || Error::new(ErrorCode::Internal, "the run broke down: this is a bug, please report it"),
    };
    let shared = Arc::clone(&run.shared);
    let failed = tokio::select! {
        biased;
        () = gone.cancelled() => Some(Error::new(ErrorCode::Cancelled, "whoever asked went away")),
        () = stop.cancelled() => Some(Error::new(ErrorCode::Unavailable, "this aggregator is shutting down")),
        () = run.run() => None,
    };
    // The run is dropped by now, and with it every call to a node.
    if let Some(error) = failed {
        spans::failed(&Span::current(), error.code.name());
        end.log.fail(error, None);
    }
    let log = Arc::clone(&end.log);
    drop(end);
    shared.metrics.ended(&log.summary(), log.first_token());
    shared.registry.trim();
    drop(slot);
}

impl Run {
    /// Takes it to its end.
    pub(super) async fn run(mut self) {
        self.record();
        self.log.event(Event::RunStarted(self.plan()));
        let outcome = timeout_at(self.deadline, Box::pin(self.stages())).await.unwrap_or_else(|_| {
            Err(Failed::without_draft(Error::new(ErrorCode::DeadlineExceeded, "the run was not done by its deadline")))
        });
        match outcome {
            Ok(finish_reason) => {
                let (degraded, usage) = self.log.so_far();
                spans::finished(&Span::current(), finish_reason.name(), usage.into());
                spans::set(&Span::current(), attribute::DEGRADED, degraded);
                self.log.finish(finish_reason);
            }
            Err(Failed { error, best_draft }) => {
                spans::failed(&Span::current(), error.code.name());
                error.log(self.log.run_id(), "run failed");
                self.log.fail(error, best_draft);
            }
        }
    }

    async fn stages(&self) -> Result<FinishReason, Failed> {
        let context = self.context();
        context.nodes.settled().await;
        let mut drafts = Vec::new();
        let stages = self.topology.stages();
        let mut stage = 0;
        while let Some(shape) = stages.get(stage) {
            let stages_left = stages.len() - stage;
            // Who decides slowly leaves time for the answer.
            let in_share = || context.within(budget::share(context.remaining(), stages_left, None));
            let span = spans::stage(stage, shape.kind());
            match shape {
                Stage::Propose(shape) => {
                    let place = Place { stage, stages_left };
                    let ahead = match stages.get(stage + 1) {
                        Some(Stage::Synthesize(next)) => {
                            self.feed(&context, stage, shape, next)?.map(|feed| (next, feed))
                        }
                        _ => None,
                    };
                    if let Some((next, feed)) = ahead {
                        let next_span = spans::stage(stage + 1, "synthesize");
                        let drafting = propose::run(&context, place, shape, drafts, Some(&feed)).instrument(span);
                        let writing = synthesize::run_ahead(&context, stage + 1, next, &feed, drafting);
                        return writing.instrument(next_span).await;
                    }
                    let drafting = propose::run(&context, place, shape, drafts, None).instrument(span);
                    drafts = drafting.await.map_err(Failed::without_draft)?;
                }
                Stage::Select(shape) => {
                    let last = stage + 1 == stages.len();
                    drafts = select::run(&in_share(), stage, shape, drafts, last).instrument(span).await;
                }
                Stage::Gate(shape) => match gate::run(&in_share(), stage, shape, drafts).instrument(span).await {
                    Outcome::Stop(draft) => return Ok(self.answer_with(&draft)),
                    Outcome::GoOn(left, skipped) => {
                        drafts = left;
                        stage += skipped;
                    }
                },
                Stage::Act(shape) => drafts = act::run(&in_share(), stage, shape, drafts).instrument(span).await,
                Stage::Synthesize(shape) => {
                    return synthesize::run(&context, stage, shape, &drafts).instrument(span).await;
                }
            }
            stage += 1;
        }
        // A topology that ends without a synthesis answers with the draft that was selected.
        let nothing = || Failed::without_draft(Error::new(ErrorCode::MemberFailed, "no member wrote a usable answer"));
        Ok(self.answer_with(drafts.first().ok_or_else(nothing)?))
    }

    fn answer_with(&self, draft: &Candidate) -> FinishReason {
        self.log.whole_answer(&draft.text);
        draft.finish_reason
    }

    /// What lets stage `stage + 1` read the drafts of stage `stage` while they are written, where it may.
    fn feed(
        &self,
        context: &Context<'_>,
        stage: usize,
        shape: &Propose,
        next: &Synthesize,
    ) -> Result<Option<Feed>, Failed> {
        if next.overlap == Overlap::Off || shape.rounds != Rounds::ONE {
            return Ok(None);
        }
        let seats = shape.seats();
        let script = script(next, seats, context.material).map_err(|error| {
            Failed::without_draft(Error::new(ErrorCode::Internal, format!("writing the synthesis prompt: {error}")))
        })?;
        Ok(script.map(|script| Feed::new(script, next.overlap, stage, seats, self.seed)))
    }

    fn context(&self) -> Context<'_> {
        let Shared { nodes, prompts, limits, .. } = &*self.shared;
        Context {
            shared: &self.shared,
            nodes: nodes.as_ref(),
            log: &self.log,
            material: Material {
                prompts,
                conversation: &self.conversation,
                overrides: &self.overrides,
                seed: self.seed,
                seed_is_asked: self.seed_is_asked,
            },
            policy: Policy {
                attempts: limits.attempts,
                first_token: limits.first_token,
                idle: limits.idle,
                max_bytes: limits.seat_bytes,
            },
            top_logprobs: if self.topology.stages().iter().any(Stage::weighs_margins) { 2 } else { 0 },
            acts: self.topology.acts(),
            ignore_end: self.ignore_end,
            form: &self.form,
            deadline: self.deadline.checked_sub(limits.hop_margin).unwrap_or(self.deadline),
        }
    }

    /// Records that it begins.
    fn record(&mut self) {
        let (Some(recorder), Some(asked)) = (&self.shared.recorder, self.asked.take()) else { return };
        let Asked { question, part_of } = *asked;
        let plan = |stage: &Stage| Plan {
            kind: stage.kind().to_owned(),
            models: stage.seats().map(|member| member.author.name().to_owned()).collect(),
        };
        recorder.began(Began {
            run_id: self.log.run_id().to_owned(),
            began_ms: unix_ms(self.log.began()),
            topology: self.topology.recorded(),
            seed: self.seed,
            prompts: self.shared.prompts.version().to_owned(),
            build: env!("CARGO_PKG_VERSION").to_owned(),
            question,
            part_of,
            stages: self.topology.stages().iter().map(plan).collect(),
        });
    }

    fn plan(&self) -> RunStarted {
        RunStarted {
            run_id: self.log.run_id().to_owned(),
            topology: self.topology.name().to_owned(),
            stages: self.topology.stages().iter().map(StagePlan::from).collect(),
            seed: self.seed,
            prompts: self.shared.prompts.version().to_owned(),
        }
    }
}

impl From<&Stage> for StagePlan {
    fn from(stage: &Stage) -> Self {
        let kind = match stage {
            Stage::Propose(_) => StageKind::Propose,
            Stage::Select(_) => StageKind::Select,
            Stage::Gate(_) => StageKind::Gate,
            Stage::Act(_) => StageKind::Act,
            Stage::Synthesize(_) => StageKind::Synthesize,
        };
        Self { kind, models: stage.seats().map(|member| member.author.name().to_owned()).collect() }
    }
}
