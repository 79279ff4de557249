//! Takes questions in, and each through its topology.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use futures::Stream;
use synod_telemetry::spans;
use tokio::time::{Instant, timeout};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use tracing::Instrument;

use super::{
    events::Event,
    log::RunLog,
    outbox::{Outbox, Reader},
    question::{Asked, Question, run_id},
    registry::{Registry, RunRecord, RunSummary},
    run::{Run, supervise},
};
use crate::{
    admission::Admission,
    error::{Error, ErrorCode},
    limits::Limits,
    members::Nodes,
    metrics::Metrics,
    prompts::{Conversation, Prompts},
    records::{Filter, Line, Record, Recorded, Recorder, unix_ms},
    topology::{Sampling, Topologies, Topology},
};

/// Runs questions. Each run is a task that this owns; [`Runner::drain`] waits for them.
pub struct Runner {
    shared: Arc<Shared>,
    admission: Arc<Admission>,
    tasks: TaskTracker,
    /// Ends every run.
    stop: CancellationToken,
}

/// What all runs of a process share.
pub(super) struct Shared {
    pub(super) nodes: Arc<dyn Nodes>,
    pub(super) topologies: Topologies,
    pub(super) prompts: Prompts,
    pub(super) limits: Limits,
    pub(super) registry: Registry,
    pub(super) recorder: Option<Arc<Recorder>>,
    pub(super) metrics: Metrics,
}

impl Runner {
    /// A runner over these nodes.
    pub fn new(nodes: Arc<dyn Nodes>, topologies: Topologies, prompts: Prompts, limits: Limits) -> Self {
        Self::recording(nodes, topologies, prompts, limits, None)
    }

    /// The same, with someone who records every run.
    pub fn recording(
        nodes: Arc<dyn Nodes>,
        topologies: Topologies,
        prompts: Prompts,
        limits: Limits,
        recorder: Option<Arc<Recorder>>,
    ) -> Self {
        let nodes = match &recorder {
            Some(recorder) => Arc::new(Recorded { nodes, recorder: Arc::clone(recorder) }),
            None => nodes,
        };
        let admission = Arc::new(Admission::new(&limits));
        let registry = Registry::new(limits.runs_kept, limits.runs_kept_bytes);
        let metrics = Metrics::new(topologies.names());
        let shared = Arc::new(Shared { nodes, topologies, prompts, limits, registry, recorder, metrics });
        Self { shared, admission, tasks: TaskTracker::new(), stop: CancellationToken::new() }
    }

    /// Accepts a question, or says why not before any work is done. Dropping the stream cancels the run.
    pub fn start(&self, question: Question) -> Result<RunStream, Error> {
        match self.shared.topologies.get(&question.topology) {
            Ok(topology) => self.start_through(question, topology),
            Err(unknown) => {
                let error = Error::new(ErrorCode::TopologyNotFound, unknown.to_string());
                self.shared.metrics.refused(&error);
                Err(error)
            }
        }
    }

    /// [`start`](Self::start), through a topology that need not be one of those it offers.
    pub fn start_through(&self, question: Question, topology: &Arc<Topology>) -> Result<RunStream, Error> {
        self.accept(question, topology).inspect_err(|error| self.shared.metrics.refused(error))
    }

    fn accept(&self, question: Question, topology: &Arc<Topology>) -> Result<RunStream, Error> {
        if self.tasks.is_closed() {
            return Err(Error::new(ErrorCode::Unavailable, "this aggregator is shutting down: ask another"));
        }
        let shared = Arc::clone(&self.shared);
        let topology = match question.overrides.is_empty() {
            true => Arc::clone(topology),
            false => Arc::new(topology.with(&question.overrides).map_err(|wrong| Error::invalid(wrong.to_string()))?),
        };
        if !question.form.is_free() && !topology.always_synthesizes() {
            return Err(Error::invalid(format!(
                "topology {} answers with a draft, whose form cannot be asked for: choose one whose last stage always synthesizes",
                topology.name()
            )));
        }
        if question.refuse_acts && topology.acts() {
            let message = format!("topology {} calls an API by now, and this question refuses that", topology.name());
            return Err(Error::invalid(message));
        }
        let slot = self.admission.admit(&question.messages, &topology)?;
        let asked = shared.recorder.as_ref().map(|_| Asked { question: question.clone(), part_of: String::new() });
        let conversation = Conversation::try_new(question.messages, &shared.limits)?;
        let span = question.deadline.map_or(topology.deadline(), |asked| asked.min(topology.deadline()));
        let outbox = Outbox::new(shared.limits.events_queued);
        let run_id = run_id(&question.run_id)?;
        let log = RunLog::new(run_id, topology.name().to_owned(), Arc::clone(&outbox), shared.recorder.clone());
        let log = Arc::new(log.of(question.tenant));
        shared.registry.add(Arc::clone(&log))?;
        // 53 bits: the seed survives a JSON number.
        let seed = question.sampling.seed.unwrap_or_else(|| rand::random::<u64>() >> 11);
        let run = Run {
            asked: asked.map(Box::new),
            seed_is_asked: question.sampling.seed.is_some() && !question.keep_seeds,
            ignore_end: question.ignore_end,
            form: question.form,
            overrides: Sampling { seed: None, ..question.sampling },
            deadline: Instant::now() + span,
            shared,
            log: Arc::clone(&log),
            topology,
            conversation,
            seed,
        };
        let gone = CancellationToken::new();
        let span = spans::workflow(log.topology(), log.run_id(), &question.parent);
        self.tasks.spawn(supervise(run, slot, gone.clone(), self.stop.clone()).instrument(span));
        Ok(RunStream { events: Reader(outbox), log, _cancel: gone.drop_guard() })
    }

    /// What is counted of its runs.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// Runs that are under way.
    pub(crate) fn in_flight(&self) -> usize {
        self.admission.in_flight()
    }

    /// Whether it takes no more questions.
    pub(crate) fn is_draining(&self) -> bool {
        self.tasks.is_closed()
    }

    /// The topologies it offers.
    pub fn topologies(&self) -> &Topologies {
        &self.shared.topologies
    }

    /// The newest runs first.
    pub fn list(&self, limit: usize) -> Vec<RunSummary> {
        self.shared.registry.list(limit)
    }

    /// Runs in a list, the newest first: those recorded, or those remembered where runs are not recorded.
    pub async fn lines(&self, filter: Filter) -> Result<Vec<Line>, Error> {
        let Some(recorder) = &self.shared.recorder else {
            let of_topology = |run: &RunSummary| filter.topology.is_empty() || run.topology == filter.topology;
            let begun_since = |run: &RunSummary| unix_ms(run.began) >= filter.since_ms;
            let runs = self.list(usize::MAX).into_iter().filter(|run| of_topology(run) && begun_since(run));
            return Ok(runs.take(filter.limit).map(Line::from).collect());
        };
        let mut lines = recorder.list(filter).await?;
        for line in lines.iter_mut().filter(|line| line.state == "unfinished") {
            // A run that is still in flight here has not ended with its process.
            if self.get(&line.run_id).is_ok() {
                "running".clone_into(&mut line.state);
            }
        }
        Ok(lines)
    }

    /// Everything that is recorded of a run; none where runs are not recorded.
    pub async fn record(&self, run: &str) -> Result<Option<Record>, Error> {
        match &self.shared.recorder {
            Some(recorder) => Ok(Some(recorder.get(run.to_owned()).await?)),
            None => Ok(None),
        }
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
