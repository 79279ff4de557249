//! Nodes that are listened to: each call to one of them is recorded, however it ends.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use futures::{Stream, StreamExt};
use tokio::time::Instant;

use super::{Called, Recorder, Times, ended::ms, unix_ms};
use crate::{
    error::Error,
    members::{ApiRequest, Call, Embedded, EventStream, Given, MemberEvent, Nodes, Picked, Proposed, Wanted},
    runs::events::At,
};

/// The same nodes; what is said to them and what they say goes to a recorder, too.
pub(crate) struct Recorded {
    pub(crate) nodes: Arc<dyn Nodes>,
    pub(crate) recorder: Arc<Recorder>,
}

#[async_trait]
impl Nodes for Recorded {
    fn pick(&self, wanted: &Wanted<'_>, tried: &[Arc<str>]) -> Result<Picked, Error> {
        self.nodes.pick(wanted, tried)
    }

    async fn generate(&self, picked: &Picked, call: &Call) -> Result<EventStream, Error> {
        let whose = (call.run_id.as_str(), call.model.as_str(), call.at);
        let mut tape = Tape::new(&self.recorder, picked, whose, self.nodes.avoided(&call.model));
        tape.called.sampling = call.sampling.clone();
        tape.called.grammar = call.grammar.as_ref().map(|grammar| grammar.source().to_owned()).unwrap_or_default();
        let call = Call { record: true, ..call.clone() };
        let events = self.nodes.generate(picked, &call).await.inspect_err(|error| tape.failed(error))?;
        Ok(Taped { events, tape }.boxed())
    }

    async fn embed(&self, model: &str, texts: &[String], deadline: Instant) -> Result<Embedded, Error> {
        self.nodes.embed(model, texts, deadline).await
    }

    async fn propose(&self, picked: &Picked, request: &ApiRequest) -> Result<Proposed, Error> {
        let (run_id, model) = (&request.run_id, &request.model);
        let mut tape = Tape::new(&self.recorder, picked, (run_id, model, request.at), self.nodes.avoided(model));
        let request = ApiRequest { record: true, ..request.clone() };
        let proposed = self.nodes.propose(picked, &request).await.inspect_err(|error| tape.failed(error))?;
        tape.proposed(&proposed);
        Ok(proposed)
    }

    fn may_retry(&self) -> bool {
        self.nodes.may_retry()
    }

    fn hedge_after(&self, model: &str) -> Option<Duration> {
        self.nodes.hedge_after(model)
    }

    async fn back(&self, model: &str) -> bool {
        self.nodes.back(model).await
    }

    async fn settled(&self) {
        self.nodes.settled().await;
    }

    fn avoided(&self, model: &str) -> Vec<String> {
        self.nodes.avoided(model)
    }
}

/// A call under way. It is recorded when this is dropped: whoever gives a call up drops it.
struct Tape {
    recorder: Arc<Recorder>,
    called: Called,
    began: Instant,
    /// Whether what it was made of is recorded in its place.
    is_told: bool,
}

impl Tape {
    fn new(
        recorder: &Arc<Recorder>,
        picked: &Picked,
        (run_id, model, at): (&str, &str, At),
        avoided: Vec<String>,
    ) -> Self {
        let called = Called {
            run_id: run_id.to_owned(),
            stage: at.stage,
            seat: at.seat,
            node: picked.node.to_string(),
            model: model.to_owned(),
            avoided,
            began_ms: unix_ms(SystemTime::now()),
            outcome: "given up".to_owned(),
            ..Called::default()
        };
        Self { recorder: Arc::clone(recorder), called, began: Instant::now(), is_told: false }
    }

    fn failed(&mut self, error: &Error) {
        self.called.outcome = "failed".to_owned();
        self.called.error.clone_from(&error.message);
    }

    /// A call of an API was proposed: each exchange on the way to it is recorded as a call of its own.
    fn proposed(&mut self, proposed: &Proposed) {
        let called = &mut self.called;
        called.outcome = "finished".to_owned();
        called.usage = proposed.usage.into();
        called.text = proposed.text.clone().unwrap_or_default();
        for exchange in &proposed.exchanges {
            let mut called = Called {
                purpose: exchange.purpose.clone(),
                grammar: exchange.schema.clone(),
                text: exchange.text.clone(),
                tokens: exchange.tokens.clone(),
                usage: exchange.usage.into(),
                times: Times { total_ms: ms(exchange.took), ..Times::default() },
                ..self.called.clone()
            };
            if let Some(Given { prompt, sampling }) = exchange.given.clone() {
                (called.prompt, called.sampling) = (Some(prompt), sampling);
            }
            self.called.began_ms += called.times.total_ms;
            self.recorder.called(called);
            self.is_told = true;
        }
    }

    fn heard(&mut self, event: &mut MemberEvent) {
        let called = &mut self.called;
        match event {
            MemberEvent::Accepted { prompt_tokens, given, .. } => {
                called.usage.prompt = *prompt_tokens;
                if let Some(given) = given.take() {
                    (called.prompt, called.sampling) = (Some(given.prompt), given.sampling);
                }
            }
            MemberEvent::Delta { text, written, .. } => {
                if !text.is_empty() {
                    called.times.first_token_ms.get_or_insert_with(|| ms(self.began.elapsed()));
                }
                called.text.push_str(text);
                called.tokens.append(written);
            }
            MemberEvent::Finished { finish_reason, usage, spent, .. } => {
                called.outcome = "finished".to_owned();
                called.finish_reason = finish_reason.name().to_owned();
                called.usage = (*usage).into();
                called.times = Times { first_token_ms: called.times.first_token_ms, ..*spent };
            }
        }
    }
}

impl Drop for Tape {
    fn drop(&mut self) {
        if self.is_told {
            return;
        }
        let mut called = std::mem::take(&mut self.called);
        called.times.total_ms = ms(self.began.elapsed());
        self.recorder.called(called);
    }
}

/// Events that go on a tape as they pass.
struct Taped {
    events: EventStream,
    tape: Tape,
}

impl Stream for Taped {
    type Item = Result<MemberEvent, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut next = self.events.as_mut().poll_next(context);
        match &mut next {
            Poll::Ready(Some(Ok(event))) => self.tape.heard(event),
            Poll::Ready(Some(Err(error))) => self.tape.failed(error),
            Poll::Ready(None) | Poll::Pending => {}
        }
        next
    }
}
