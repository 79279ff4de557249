//! Streams of server-sent events, with comments where members keep a client waiting.

use std::{convert::Infallible, future::Future, time::Duration};

use axum::response::{
    IntoResponse, Response, Sse,
    sse::{Event, KeepAlive},
};
use futures::{StreamExt, stream};

/// What a response tells, piece by piece.
pub(super) trait Telling: Send + 'static {
    /// What goes out next; none after the end.
    fn next(&mut self) -> impl Future<Output = Option<Vec<Event>>> + Send;
}

/// The response.
pub(super) fn respond(telling: impl Telling, keep_alive: Duration) -> Response {
    let events = stream::unfold(telling, |mut telling| async move {
        let events = telling.next().await?;
        Some((stream::iter(events.into_iter().map(Ok::<_, Infallible>)), telling))
    });
    let keep_alive = KeepAlive::new().interval(keep_alive).text("keep-alive");
    Sse::new(events.flatten()).keep_alive(keep_alive).into_response()
}
