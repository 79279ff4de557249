//! A call as it is told: as a span of its caller's trace, and in what is counted.

use std::time::Duration;

use synod_proto::v1::{FinishReason, GenerateFinished, GenerateResponse, generate_response::Event};
use synod_telemetry::{
    Parent,
    names::attribute,
    spans::{self, Tokens},
};
use tonic::Status;
use tracing::Span;

use crate::monitor::{Counts, Monitor, by_model};
use crate::status::NodeError;

/// A call under way. How it ended is counted when this is dropped.
pub(crate) struct Told {
    span: Span,
    counts: Counts,
    model: String,
    outcome: &'static str,
}

impl Told {
    /// A call to a model that is here, not let in yet.
    pub(crate) fn new(monitor: &Monitor, model: &str, parent: &Parent) -> Self {
        let span = spans::served(model, parent);
        Self { span, counts: monitor.counts.clone(), model: model.to_owned(), outcome: "refused" }
    }

    /// It has its place in the queue. Dropped from here on it was given up: by its caller, at its deadline, at our end.
    pub(crate) fn admitted(mut self) -> Self {
        self.outcome = "given_up";
        self
    }

    /// What its caller is told next.
    pub(crate) fn item(&mut self, item: &Result<GenerateResponse, Status>) {
        match item {
            Ok(GenerateResponse { event: Some(Event::Finished(finished)) }) => self.finished(finished),
            Ok(_) => {}
            Err(status) => {
                self.outcome = "failed";
                spans::failed(&self.span, format!("{:?}", status.code()));
            }
        }
    }

    fn finished(&mut self, finished: &GenerateFinished) {
        self.outcome = match finished.finish_reason() {
            FinishReason::Stop => "stop",
            FinishReason::Length => "length",
            FinishReason::Cancelled | FinishReason::Unspecified => "cancelled",
        };
        let (usage, timings) = (finished.usage.unwrap_or_default(), finished.timings.unwrap_or_default());
        let (input, cached, output) = (usage.prompt_tokens, usage.cached_prompt_tokens, usage.completion_tokens);
        let seconds = |ms: u32| Duration::from_millis(ms.into()).as_secs_f64();
        let queued = seconds(timings.queue_ms);
        spans::finished(&self.span, self.outcome, Tokens { input, cached, output });
        spans::set(&self.span, attribute::QUEUED, queued);
        let (counts, label) = (&self.counts, [by_model(&self.model)]);
        counts.prefilled.get_or_create(&label).inc_by(input.saturating_sub(cached).into());
        counts.reused.get_or_create(&label).inc_by(cached.into());
        counts.generated.get_or_create(&label).inc_by(output.into());
        counts.queue.get_or_create(&label).observe(queued);
        counts.first_token.get_or_create(&label).observe(queued + seconds(timings.prefill_ms));
        // The first token comes with the end of the prompt.
        if output > 1 {
            counts.token.get_or_create(&label).observe(seconds(timings.decode_ms) / f64::from(output - 1));
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        let labels = [by_model(&self.model), ("outcome", self.outcome.into())];
        self.counts.calls.get_or_create(&labels).inc();
    }
}

/// What a caller is told of a call that ends at once; the span of one that failed says so.
pub(crate) fn ended<T>(span: &Span, outcome: Result<T, NodeError>) -> Result<T, Status> {
    let told: Result<T, Status> = outcome.map_err(Status::from);
    told.inspect_err(|status| spans::failed(span, format!("{:?}", status.code())))
}

#[cfg(test)]
mod tests {
    use synod_proto::v1::{GenerateTimings, Usage};

    use super::*;

    #[track_caller]
    fn check(tell: impl FnOnce(Told), lines: &[&str]) {
        let monitor = Monitor::default();
        tell(Told::new(&monitor, "m", &Parent::default()));
        let metrics = monitor.probes().answer("/metrics").into_body();
        for line in lines {
            assert!(metrics.lines().any(|one| one == *line), "no `{line}` in\n{metrics}");
        }
    }

    #[test]
    fn a_call_is_counted_once_however_it_ends() {
        let calls = |outcome| format!("synod_node_calls_total{{model=\"m\",outcome=\"{outcome}\"}} 1");
        check(drop, &[&calls("refused")]);
        check(|told| drop(told.admitted()), &[&calls("given_up")]);
        check(|told| told.admitted().item(&Err(Status::internal("why"))), &[&calls("failed")]);
    }

    #[test]
    fn tokens_and_times_are_those_that_the_caller_is_told() {
        let usage = Usage { prompt_tokens: 100, completion_tokens: 11, cached_prompt_tokens: 60 };
        let timings = GenerateTimings { queue_ms: 30, prefill_ms: 40, decode_ms: 100 };
        let finished = GenerateFinished {
            finish_reason: FinishReason::Length.into(),
            usage: Some(usage),
            timings: Some(timings),
            ..GenerateFinished::default()
        };
        let finished = Ok(GenerateResponse { event: Some(Event::Finished(finished)) });
        check(
            |told| told.admitted().item(&finished),
            &[
                "synod_node_calls_total{model=\"m\",outcome=\"length\"} 1",
                "synod_node_prefilled_tokens_total{model=\"m\"} 40",
                "synod_node_reused_tokens_total{model=\"m\"} 60",
                "synod_node_generated_tokens_total{model=\"m\"} 11",
                "synod_node_queue_seconds_sum{model=\"m\"} 0.03",
                "synod_node_first_token_seconds_sum{model=\"m\"} 0.07",
                "synod_node_output_token_seconds_sum{model=\"m\"} 0.01",
            ],
        );
    }
}
