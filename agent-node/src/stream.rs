//! The response stream of `Generate`, which always ends: at its last event, its deadline, or the node's end.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::{Stream, stream::BoxStream};
use synod_proto::v1::{GenerateResponse, generate_response::Event};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::{Status, metadata::MetadataMap};

use crate::{drain::Running, status::NodeError};

/// tonic answers CANCELLED when the caller's timeout passes before the head is sent. It asks the handler first, so ours
/// must be due just before its own.
const MARGIN: Duration = Duration::from_millis(5);

/// When a request's answer is of no use any more: what its `grpc-timeout` says, or the most that a node gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    pub(crate) fn of(metadata: &MetadataMap, most: Duration) -> Self {
        let asked = metadata.get("grpc-timeout").and_then(|value| parse_timeout(value.to_str().ok()?));
        Self(Instant::now() + asked.map_or(most, |asked| asked.min(most)).saturating_sub(MARGIN))
    }

    /// This, or `most` from now if that is earlier.
    pub(crate) fn within(self, most: Duration) -> Self {
        Self(self.0.min(Instant::now() + most))
    }

    /// The future's result, unless the deadline comes first.
    pub(crate) async fn bound<T>(
        self,
        doing: &'static str,
        future: impl Future<Output = Result<T, NodeError>>,
    ) -> Result<T, NodeError> {
        tokio::time::timeout_at(self.0, future).await.unwrap_or(Err(NodeError::DeadlineExceeded(doing)))
    }
}

/// At most 8 digits and a unit, as the gRPC protocol has it. tonic ignores what is not, and so does this.
fn parse_timeout(value: &str) -> Option<Duration> {
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

type Item = Result<GenerateResponse, Status>;

/// Events until the first of: `Finished`, an error, the deadline, the node's end. What feeds it is dropped right there,
/// and with it the engine's sequence, whether or not the caller has read that far.
pub(crate) struct GenerateStream {
    source: Option<(BoxStream<'static, Item>, Running)>,
    deadline: Pin<Box<Sleep>>,
    killed: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl GenerateStream {
    pub(crate) fn new(events: BoxStream<'static, Item>, deadline: Deadline, running: Running) -> Self {
        let killed = Box::pin(running.killed());
        Self { source: Some((events, running)), deadline: Box::pin(sleep_until(deadline.0)), killed }
    }

    fn end(&mut self, last: Item) -> Poll<Option<Item>> {
        self.source = None;
        Poll::Ready(Some(last))
    }
}

impl Stream for GenerateStream {
    type Item = Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Item>> {
        let this = &mut *self;
        if this.source.is_none() {
            return Poll::Ready(None);
        }
        if this.deadline.as_mut().poll(context).is_ready() {
            return this.end(Err(NodeError::DeadlineExceeded("it wrote the answer").into()));
        }
        if this.killed.as_mut().poll(context).is_ready() {
            return this.end(Err(NodeError::Draining.into()));
        }
        let Some((events, _)) = &mut this.source else { return Poll::Ready(None) };
        match events.as_mut().poll_next(context) {
            Poll::Ready(Some(Ok(response))) if !matches!(response.event, Some(Event::Finished(_))) => {
                Poll::Ready(Some(Ok(response)))
            }
            Poll::Ready(Some(last)) => this.end(last),
            // The engine ends a sequence with `Finished` or an error; if it did not, the caller must still know.
            Poll::Ready(None) => this.end(Err(NodeError::Engine(synod_models::engine::EngineError::Stopped).into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt, stream};
    use synod_proto::v1::{GenerateFinished, TokenDelta};
    use tonic::Code;

    use super::*;
    use crate::drain::Drain;

    const LONG: Duration = Duration::from_secs(600);

    fn timeout(value: &str) -> Deadline {
        let mut metadata = MetadataMap::new();
        metadata.insert("grpc-timeout", value.parse().unwrap());
        Deadline::of(&metadata, LONG)
    }

    fn delta() -> Item {
        Ok(GenerateResponse { event: Some(Event::Delta(TokenDelta::default())) })
    }

    fn finished() -> Item {
        Ok(GenerateResponse { event: Some(Event::Finished(GenerateFinished::default())) })
    }

    /// The codes of a stream's items; None for an event.
    async fn codes(stream: GenerateStream) -> Vec<Option<Code>> {
        stream.map(|item| item.err().map(|status| status.code())).collect().await
    }

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        assert_eq!(parse_timeout("1H"), Some(Duration::from_secs(3600)));
        assert_eq!(parse_timeout("2M"), Some(Duration::from_secs(120)));
        assert_eq!(parse_timeout("3S"), Some(Duration::from_secs(3)));
        assert_eq!(parse_timeout("99999999m"), Some(Duration::from_millis(99_999_999)));
        assert_eq!(parse_timeout("5u"), Some(Duration::from_micros(5)));
        assert_eq!(parse_timeout("6n"), Some(Duration::from_nanos(6)));
        for wrong in ["", "S", "1", "1s", "-1S", "+1S", "123456789S", "1é", "é"] {
            assert_eq!(parse_timeout(wrong), None, "{wrong}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_is_the_callers_and_at_most_the_nodes() {
        let now = Instant::now();
        assert_eq!(timeout("1S"), Deadline(now + Duration::from_secs(1) - MARGIN));
        assert_eq!(timeout("9H"), Deadline(now + LONG - MARGIN));
        assert_eq!(timeout("soon"), Deadline(now + LONG - MARGIN));
        assert_eq!(timeout("1n"), Deadline(now));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_after_finished_and_frees_its_source() {
        let drain = Drain::new();
        let events = stream::iter([delta(), finished(), delta()]).boxed();
        let mut stream = GenerateStream::new(events, timeout("1S"), drain.admit().unwrap());
        assert!(stream.next().await.unwrap().is_ok());
        assert_eq!(drain.running(), 1);
        assert!(stream.next().await.unwrap().is_ok());
        assert_eq!(drain.running(), 0, "nothing is held once the last event is out");
        assert!(stream.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_stalls_ends_at_its_deadline() {
        let drain = Drain::new();
        let events = stream::iter([delta()]).chain(stream::pending()).boxed();
        let stream = GenerateStream::new(events, timeout("2S"), drain.admit().unwrap());
        let start = Instant::now();
        assert_eq!(codes(stream).await, [None, Some(Code::DeadlineExceeded)]);
        assert!(start.elapsed() <= Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_of_a_node_that_ends_is_unavailable() {
        let drain = Drain::new();
        let events = stream::iter([delta()]).chain(stream::pending()).boxed();
        let stream = GenerateStream::new(events, timeout("2S"), drain.admit().unwrap());
        let (codes, ()) = tokio::join!(codes(stream), drain.finish(Duration::from_secs(1)));
        assert_eq!(codes, [None, Some(Code::Unavailable)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_ends_without_finished_is_an_error() {
        let drain = Drain::new();
        let stream = GenerateStream::new(stream::iter([delta()]).boxed(), timeout("2S"), drain.admit().unwrap());
        assert_eq!(codes(stream).await, [None, Some(Code::Unavailable)]);
    }
}
