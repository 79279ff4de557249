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
    members::{ApiRequest, Call, Embedded, EventStream, MemberEvent, Nodes, Picked, Proposed, Wanted},
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
        let mut tape = Tape::new(&self.recorder, picked, call, self.nodes.avoided(&call.model));
        let call = Call { record: true, ..call.clone() };
        let events = self.nodes.generate(picked, &call).await.inspect_err(|error| tape.failed(error))?;
        Ok(Taped { events, tape }.boxed())
    }

    async fn embed(&self, model: &str, texts: &[String], deadline: Instant) -> Result<Embedded, Error> {
        self.nodes.embed(model, texts, deadline).await
    }

    async fn propose(&self, picked: &Picked, request: &ApiRequest) -> Result<Proposed, Error> {
        self.nodes.propose(picked, request).await
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
}

impl Tape {
    fn new(recorder: &Arc<Recorder>, picked: &Picked, call: &Call, avoided: Vec<String>) -> Self {
        let called = Called {
            run_id: call.run_id.clone(),
            stage: call.at.stage,
            seat: call.at.seat,
            node: picked.node.to_string(),
            model: call.model.clone(),
            avoided,
            began_ms: unix_ms(SystemTime::now()),
            sampling: call.sampling.clone(),
            grammar: call.grammar.as_ref().map(|grammar| grammar.source().to_owned()).unwrap_or_default(),
            outcome: "given up".to_owned(),
            ..Called::default()
        };
        Self { recorder: Arc::clone(recorder), called, began: Instant::now() }
    }

    fn failed(&mut self, error: &Error) {
        self.called.outcome = "failed".to_owned();
        self.called.error.clone_from(&error.message);
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
