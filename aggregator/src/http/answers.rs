//! The runs of one request, as one stream of what happens in them.

use std::{collections::VecDeque, time::Duration};

use futures::{StreamExt, stream::BoxStream, stream::SelectAll};
use tokio::time::{Instant, timeout_at};

use super::{access::Ticket, error::ApiError};
use crate::{
    error::{Error, ErrorCode},
    members::Usage,
    runs::{RunStream, events::Event},
};

/// Runs under way. Dropping them cancels all: whoever asked has gone.
pub(super) struct Answers {
    runs: SelectAll<BoxStream<'static, (usize, Result<Event, Error>)>>,
    /// What happened before anybody wanted to know.
    ahead: VecDeque<(usize, Event)>,
    usage: Usage,
    ticket: Ticket,
    /// The field of the request that gave the answers their form.
    form: Option<&'static str>,
}

impl Answers {
    pub(super) fn new(runs: Vec<RunStream>, ticket: Ticket, form: Option<&'static str>) -> Self {
        let numbered = |(at, run): (usize, RunStream)| run.map(move |event| (at, event)).boxed();
        let runs = runs.into_iter().enumerate().map(numbered).collect();
        Self { runs, ahead: VecDeque::new(), usage: Usage::default(), ticket, form }
    }

    /// Waits for a first word, so that what is refused at once is refused with a status; not for long, as heads of streams
    /// should be early.
    pub(super) async fn first_word(&mut self, limit: Duration) -> Result<(), ApiError> {
        let until = Instant::now() + limit;
        while let Ok(Some((at, event))) = timeout_at(until, self.runs.next()).await {
            let event = self.count(event)?;
            let is_word =
                matches!(event, Event::AnswerDelta { .. } | Event::MemberDelta { .. } | Event::RunFinished(_));
            self.ahead.push_back((at, event));
            if is_word {
                break;
            }
        }
        Ok(())
    }

    /// What happens next, and in which answer; none after the end of the last. An error is the end of all.
    pub(super) async fn next(&mut self) -> Option<Result<(usize, Event), ApiError>> {
        if let Some(event) = self.ahead.pop_front() {
            return Some(Ok(event));
        }
        let (at, event) = self.runs.next().await?;
        Some(self.count(event).map(|event| (at, event)))
    }

    fn count(&mut self, event: Result<Event, Error>) -> Result<Event, ApiError> {
        let event = event.map_err(|error| self.explain(error))?;
        let cost = match &event {
            Event::RunFinished(run) => run.usage,
            Event::RunFailed(run) => run.usage,
            _ => return Ok(event),
        };
        self.usage += cost;
        self.ticket.settle(self.usage.prompt_tokens.saturating_add(self.usage.completion_tokens));
        Ok(event)
    }

    /// A node says of a grammar only that it is one; the request knows where it has it from.
    fn explain(&self, error: Error) -> ApiError {
        let names_it = ["grammar", "schema"].iter().any(|word| error.message.contains(word));
        let of_form = names_it && error.code == ErrorCode::PromptRefused;
        match self.form.filter(|_| of_form) {
            Some(field) => ApiError::from(error).about(field),
            None => error.into(),
        }
    }

    /// Of all answers that ended so far together.
    pub(super) fn usage(&self) -> Usage {
        self.usage
    }
}
