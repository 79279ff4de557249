//! Takes questions in, and each through its topology.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use futures::Stream;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout, timeout_at},
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use super::{
    events::{At, Draft, Event, RunStarted, StageKind, StagePlan},
    log::RunLog,
    outbox::{Outbox, Reader},
    propose::{self, Place},
    question::{Question, run_id},
    registry::{Registry, RunRecord, RunSummary},
    synthesize,
};
use crate::{
    error::{Error, ErrorCode},
    limits::Limits,
    members::{Nodes, Policy},
    prompts::{Conversation, Prompts},
    stages::{FinishReason, Material, synthesize::best},
    topology::{Sampling, Stage, Topologies, Topology},
};

/// When a caller who was refused for want of room may come again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Runs questions. Each run is a task that this owns; [`Runner::drain`] waits for them.
pub struct Runner {
    shared: Arc<Shared>,
    slots: Arc<Semaphore>,
    tasks: TaskTracker,
    /// Ends every run.
    stop: CancellationToken,
}

struct Shared {
    nodes: Arc<dyn Nodes>,
    topologies: Topologies,
    prompts: Prompts,
    limits: Limits,
    registry: Registry,
}

/// What a run is made of once the question was accepted.
struct Run {
    shared: Arc<Shared>,
    log: Arc<RunLog>,
    topology: Topology,
    conversation: Conversation,
    overrides: Sampling,
    seed: u64,
    seed_is_asked: bool,
    deadline: Instant,
}

/// What a stage sees of its run.
pub(super) struct Context<'r> {
    pub(super) nodes: &'r dyn Nodes,
    pub(super) log: &'r RunLog,
    pub(super) material: Material<'r>,
    pub(super) policy: Policy,
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

impl Runner {
    /// A runner over these nodes.
    pub fn new(nodes: Arc<dyn Nodes>, topologies: Topologies, prompts: Prompts, limits: Limits) -> Self {
        let slots = Arc::new(Semaphore::new(limits.concurrent_runs));
        let registry = Registry::new(limits.runs_kept, limits.runs_kept_bytes);
        let shared = Arc::new(Shared { nodes, topologies, prompts, limits, registry });
        Self { shared, slots, tasks: TaskTracker::new(), stop: CancellationToken::new() }
    }

    /// Accepts a question, or says why not before any work is done. Dropping the stream cancels the run.
    pub fn start(&self, question: Question) -> Result<RunStream, Error> {
        if self.tasks.is_closed() {
            return Err(Error::new(ErrorCode::Unavailable, "this aggregator is shutting down: ask another"));
        }
        let slot = self.slot()?;
        let shared = Arc::clone(&self.shared);
        let conversation = Conversation::try_new(question.messages, &shared.limits)?;
        let topology = shared.topologies.get(&question.topology);
        let topology =
            topology.map_err(|unknown| Error::new(ErrorCode::TopologyNotFound, unknown.to_string()))?.clone();
        let span = question.deadline.map_or(topology.deadline(), |asked| asked.min(topology.deadline()));
        let outbox = Outbox::new(shared.limits.events_queued);
        let run_id = run_id(&question.run_id)?;
        let log = Arc::new(RunLog::new(run_id, topology.name().to_owned(), Arc::clone(&outbox)));
        shared.registry.add(Arc::clone(&log))?;
        // 53 bits: the seed survives a JSON number.
        let seed = question.sampling.seed.unwrap_or_else(|| rand::random::<u64>() >> 11);
        let run = Run {
            seed_is_asked: question.sampling.seed.is_some(),
            overrides: Sampling { seed: None, ..question.sampling },
            deadline: Instant::now() + span,
            shared,
            log: Arc::clone(&log),
            topology,
            conversation,
            seed,
        };
        let gone = CancellationToken::new();
        self.tasks.spawn(supervise(run, slot, gone.clone(), self.stop.clone()));
        Ok(RunStream { events: Reader(outbox), log, _cancel: gone.drop_guard() })
    }

    /// The topologies it offers.
    pub fn topologies(&self) -> &Topologies {
        &self.shared.topologies
    }

    /// The newest runs first.
    pub fn list(&self, limit: usize) -> Vec<RunSummary> {
        self.shared.registry.list(limit)
    }

    /// One run.
    pub fn get(&self, run_id: &str) -> Result<RunRecord, Error> {
        self.shared.registry.get(run_id)
    }

    /// Takes no more questions, waits this long for the runs in flight, then ends them.
    pub async fn drain(&self, grace: Duration) {
        self.tasks.close();
        if timeout(grace, self.tasks.wait()).await.is_err() {
            tracing::warn!(runs = self.tasks.len(), "ending runs that are still in flight");
            self.stop.cancel();
            self.tasks.wait().await;
        }
    }

    fn slot(&self) -> Result<OwnedSemaphorePermit, Error> {
        Arc::clone(&self.slots).try_acquire_owned().map_err(|_| Error {
            retry_after: Some(RETRY_AFTER),
            ..Error::new(
                ErrorCode::Overloaded,
                format!(
                    "{} runs are in flight, which is the limit: try again later",
                    self.shared.limits.concurrent_runs
                ),
            )
        })
    }
}

/// The events of a run, and how it ended. Dropping it cancels the run.
pub struct RunStream {
    events: Reader,
    log: Arc<RunLog>,
    _cancel: DropGuard,
}

impl RunStream {
    /// The id of the run.
    pub fn run_id(&self) -> &str {
        self.log.run_id()
    }
}

impl Stream for RunStream {
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.events).poll_next(context)
    }
}

/// Ends a run that ends in no other way: its client would wait for ever.
struct EndsOnce(Arc<RunLog>);

impl Drop for EndsOnce {
    fn drop(&mut self) {
        self.0.fail(Error::new(ErrorCode::Internal, "the run broke down: this is a bug, please report it"), None);
    }
}

async fn supervise(run: Run, slot: OwnedSemaphorePermit, gone: CancellationToken, stop: CancellationToken) {
    let log = EndsOnce(Arc::clone(&run.log));
    let shared = Arc::clone(&run.shared);
    let failed = tokio::select! {
        biased;
        () = gone.cancelled() => Some(Error::new(ErrorCode::Cancelled, "whoever asked went away")),
        () = stop.cancelled() => Some(Error::new(ErrorCode::Unavailable, "this aggregator is shutting down")),
        () = run.run() => None,
    };
    // The run is dropped by now, and with it every call to a node.
    if let Some(error) = failed {
        log.0.fail(error, None);
    }
    drop(log);
    shared.registry.trim();
    drop(slot);
}

impl Run {
    async fn run(self) {
        self.log.event(Event::RunStarted(self.plan()));
        let outcome = timeout_at(self.deadline, Box::pin(self.stages())).await.unwrap_or_else(|_| {
            Err(Failed::without_draft(Error::new(ErrorCode::DeadlineExceeded, "the run was not done by its deadline")))
        });
        match outcome {
            Ok(finish_reason) => self.log.finish(finish_reason),
            Err(Failed { error, best_draft }) => {
                tracing::info!(run_id = self.log.run_id(), code = error.code.name(), %error, "run failed");
                self.log.fail(error, best_draft);
            }
        }
    }

    async fn stages(&self) -> Result<FinishReason, Failed> {
        let context = self.context();
        context.nodes.settled().await;
        let mut drafts = Vec::new();
        let stages = self.topology.stages();
        for (stage, shape) in stages.iter().enumerate() {
            match shape {
                Stage::Propose(shape) => {
                    let place = Place { stage, stages_left: stages.len() - stage };
                    drafts = propose::run(&context, place, shape, drafts).await.map_err(Failed::without_draft)?;
                }
                Stage::Synthesize(shape) => return synthesize::run(&context, stage, shape, &drafts).await,
            }
        }
        // A topology that ends without a synthesis answers with its best candidate.
        let nothing = || Failed::without_draft(Error::new(ErrorCode::MemberFailed, "no member wrote a usable answer"));
        let best = best(&drafts, "").ok_or_else(nothing)?;
        self.log.whole_answer(&best.text);
        Ok(best.finish_reason)
    }

    fn context(&self) -> Context<'_> {
        let Shared { nodes, prompts, limits, .. } = &*self.shared;
        Context {
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
            deadline: self.deadline.checked_sub(limits.hop_margin).unwrap_or(self.deadline),
        }
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

impl Context<'_> {
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

impl From<&Stage> for StagePlan {
    fn from(stage: &Stage) -> Self {
        let kind = match stage {
            Stage::Propose(_) => StageKind::Propose,
            Stage::Synthesize(_) => StageKind::Synthesize,
        };
        Self { kind, models: stage.seats().map(|member| member.model.clone()).collect() }
    }
}
