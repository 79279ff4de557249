//! A prompt whose answer nobody waits for any more.
//!
//! HTTP/2 keeps a call as long as one of its directions is in use, so dropping the answer does not end a call whose prompt
//! is still being written. If the prompt merely ended there, the node would take it for whole and answer it. So it breaks
//! off, which resets the call at once.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::{Status, body::Body};

/// A request's body until its answer is given up.
pub(super) struct UntilGivenUp {
    body: Body,
    given_up: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl UntilGivenUp {
    pub(super) fn new(body: Body, given_up: CancellationToken) -> Self {
        Self { body, given_up: Box::pin(given_up.cancelled_owned()) }
    }
}

impl HttpBody for UntilGivenUp {
    type Data = <Body as HttpBody>::Data;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
        if self.given_up.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err(Status::cancelled("nobody waits for the answer any more"))));
        }
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
