//! What is counted of runs, for `/metrics`. No label is what a caller wrote: names are those of topologies and models that
//! are here, up to so many; all others are codes.

use std::time::Duration;

use synod_telemetry::{
    Bounded, Registry,
    metrics::{Counter, Counters, Histograms, durations, token_times},
    names::metric,
};

use crate::{
    error::{Error, ErrorCode},
    members::{Answered, Trouble},
    runs::{RunState, RunSummary},
};

/// Models that have labels of their own, whether they answer alone or in a topology.
const MODELS: usize = 64;

/// Why a seat gave its run nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// No call for it succeeded.
    Failed(ErrorCode),
    /// What it wrote is no use.
    Unusable,
    /// The others were not to wait for it any longer.
    CutOff,
}

impl Loss {
    fn name(self) -> String {
        match self {
            Self::Failed(code) => reason(code),
            Self::Unusable => "unusable".to_owned(),
            Self::CutOff => "cut_off".to_owned(),
        }
    }
}

/// The counters of a runner.
#[derive(Debug)]
pub(crate) struct Metrics {
    topologies: Bounded,
    models: Bounded,
    runs: Counters<2>,
    run_seconds: Histograms,
    run_first_token: Histograms,
    refused: Counters<1>,
    lost: Counters<1>,
    token_seconds: Histograms,
    tokens: Counters<2>,
    retries: Counter,
    hedges: Counter,
    ejections: Counter,
}

impl Metrics {
    /// Of runs through these topologies.
    pub(crate) fn new<'t>(topologies: impl Iterator<Item = &'t str>) -> Self {
        Self {
            topologies: Bounded::new(topologies, MODELS),
            models: Bounded::new([] as [&str; 0], MODELS),
            runs: Counters::default(),
            run_seconds: durations(),
            run_first_token: durations(),
            refused: Counters::default(),
            lost: Counters::default(),
            token_seconds: token_times(),
            tokens: Counters::default(),
            retries: Counter::default(),
            hedges: Counter::default(),
            ejections: Counter::default(),
        }
    }

    /// Shows them.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.add(metric::RUNS, self.runs.clone());
        registry.add(metric::RUN_SECONDS, self.run_seconds.clone());
        registry.add(metric::RUN_FIRST_TOKEN, self.run_first_token.clone());
        registry.add(metric::REFUSED, self.refused.clone());
        registry.add(metric::SEATS_LOST, self.lost.clone());
        registry.add(metric::MEMBER_TOKEN, self.token_seconds.clone());
        registry.add(metric::MEMBER_TOKENS, self.tokens.clone());
        registry.add(metric::RETRIES, self.retries.clone());
        registry.add(metric::HEDGES, self.hedges.clone());
        registry.add(metric::EJECTIONS, self.ejections.clone());
    }

    /// A question was not let in.
    pub(crate) fn refused(&self, error: &Error) {
        self.refused.get_or_create(&[("reason", reason(error.code).into())]).inc();
    }

    /// A run is over; its answer began after `first_token`, if it did.
    pub(crate) fn ended(&self, run: &RunSummary, first_token: Option<Duration>) {
        let outcome = match run.state {
            RunState::Finished if run.degraded => "degraded",
            RunState::Finished => "finished",
            RunState::Cancelled => "cancelled",
            RunState::Failed | RunState::Running => "failed",
        };
        let by_topology = [("topology", self.topologies.label(&run.topology))];
        self.run_seconds.get_or_create(&by_topology).observe(run.total.as_secs_f64());
        if let Some(first_token) = first_token {
            self.run_first_token.get_or_create(&by_topology).observe(first_token.as_secs_f64());
        }
        let [topology] = by_topology;
        self.runs.get_or_create(&[topology, ("outcome", outcome.into())]).inc();
    }

    /// A seat is lost.
    pub(crate) fn lost(&self, loss: Loss) {
        self.lost.get_or_create(&[("reason", loss.name().into())]).inc();
    }

    /// A seat has an answer.
    pub(crate) fn answered(&self, model: &str, answered: &Answered) {
        let (usage, model) = (answered.usage, ("model", self.models.label(model)));
        let kinds = [
            ("input", usage.prompt_tokens),
            ("cached", usage.cached_prompt_tokens),
            ("output", usage.completion_tokens),
        ];
        for (kind, tokens) in kinds {
            self.tokens.get_or_create(&[model.clone(), ("kind", kind.into())]).inc_by(tokens.into());
        }
        if usage.completion_tokens > 1 {
            let writing = answered.total.saturating_sub(answered.first_token).as_secs_f64();
            let each = writing / f64::from(usage.completion_tokens - 1);
            self.token_seconds.get_or_create(&[model]).observe(each);
        }
    }

    /// A seat had trouble with a node.
    pub(crate) fn met(&self, trouble: Trouble) {
        match trouble {
            Trouble::Retried => &self.retries,
            Trouble::Hedged => &self.hedges,
            Trouble::Ejected => &self.ejections,
        }
        .inc();
    }
}

fn reason(code: ErrorCode) -> String {
    code.name().to_ascii_lowercase()
}
