//! Events on their way to a client that may be slow.
//!
//! A run never waits for its client: members would stand still with it, and the quorum's clock would measure the wrong
//! thing. Instead, once the queue is full, a delta is joined to the one of the same seat that is still waiting. So the
//! queue holds at most its limit, one delta for each seat beyond it, and the few events that are no deltas; its bytes are
//! those of the texts, which have limits of their own.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
};

use super::events::Event;
use crate::error::Error;

/// The sending end and the receiving end share it.
#[derive(Debug)]
pub(super) struct Outbox {
    limit: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Event>,
    /// The error that follows the last event, and that there is a last event.
    end: Option<Option<Error>>,
    /// Nobody reads any more.
    abandoned: bool,
    reader: Option<Waker>,
}

impl Outbox {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, state: Mutex::default() })
    }

    pub(super) fn push(&self, event: Event) {
        let mut state = self.lock();
        if state.abandoned || state.end.is_some() {
            return;
        }
        let full = state.queue.len() >= self.limit;
        if full && join(&mut state.queue, &event) {
            return;
        }
        state.queue.push_back(event);
        wake(state);
    }

    /// Nothing more comes; an error is what the stream ends with.
    pub(super) fn close(&self, error: Option<Error>) {
        let mut state = self.lock();
        if state.end.is_none() {
            state.end = Some(error);
        }
        wake(state);
    }

    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        state.abandoned = true;
        state.queue.clear();
    }

    pub(super) fn poll_next(&self, context: &mut Context<'_>) -> Poll<Option<Result<Event, Error>>> {
        let mut state = self.lock();
        if let Some(event) = state.queue.pop_front() {
            return Poll::Ready(Some(Ok(event)));
        }
        match &mut state.end {
            Some(error) => Poll::Ready(error.take().map(Err)),
            None => {
                state.reader = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake(mut state: std::sync::MutexGuard<'_, State>) {
    let reader = state.reader.take();
    drop(state);
    if let Some(reader) = reader {
        reader.wake();
    }
}

/// Joins a delta to the last waiting one of its seat. What lies between is of other seats, and the order between seats
/// says nothing.
fn join(queue: &mut VecDeque<Event>, event: &Event) -> bool {
    for waiting in queue.iter_mut().rev() {
        match (waiting, event) {
            (Event::MemberDelta { at, text }, Event::MemberDelta { at: new, text: more }) if at == new => {
                text.push_str(more);
                return true;
            }
            (Event::AnswerDelta { text, logprobs }, Event::AnswerDelta { text: more, logprobs: told }) => {
                text.push_str(more);
                logprobs.extend(told.iter().cloned());
                return true;
            }
            _ => {}
        }
    }
    false
}

/// The receiving end.
pub(super) struct Reader(pub(super) Arc<Outbox>);

impl futures::Stream for Reader {
    type Item = Result<Event, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next(context)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;
    use crate::runs::events::At;

    fn delta(seat: usize, text: &str) -> Event {
        Event::MemberDelta { at: At { stage: 0, seat }, text: text.to_owned() }
    }

    #[tokio::test]
    async fn a_full_queue_joins_deltas_of_a_seat_and_loses_none() {
        let outbox = Outbox::new(2);
        for (seat, text) in [(0, "a"), (1, "x"), (0, "b"), (2, "p"), (1, "y"), (0, "c")] {
            outbox.push(delta(seat, text));
        }
        outbox.close(None);
        let events: Vec<_> = Reader(outbox).map(Result::unwrap).collect().await;
        assert_eq!(events, [delta(0, "abc"), delta(1, "xy"), delta(2, "p")]);
    }

    #[tokio::test]
    async fn nothing_is_kept_for_a_reader_who_left() {
        let outbox = Outbox::new(2);
        outbox.push(delta(0, "a"));
        drop(Reader(Arc::clone(&outbox)));
        outbox.push(delta(0, "b"));
        assert!(outbox.lock().queue.is_empty());
    }
}
