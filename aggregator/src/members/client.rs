//! A call over gRPC: deadlines handed down, statuses understood.

use std::{error::Error as _, time::Duration};

use futures::{StreamExt, stream};
use synod_proto::v1::{EmbedRequest, EmbedResponse, node_service_client::NodeServiceClient};
use synod_telemetry::Parent;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Status, body::Body, codegen::http, transport::Channel};
use tonic_types::StatusExt;
use tower::ServiceExt;

use super::{ApiRequest, Call, Embedded, EventStream, Proposed, given_up::UntilGivenUp};
use crate::{
    error::{Error, ErrorCode},
    limits::Limits,
    wire,
};

/// Opens a call. The node is told of a deadline a little before ours, so that its own word on it arrives in time. Dropping
/// the events, or this future, ends the call however much of its prompt is still to come.
pub(super) async fn generate(channel: Channel, call: &Call, limits: &Limits) -> Result<EventStream, Error> {
    let given_up = CancellationToken::new();
    let guard = given_up.clone().drop_guard();
    let channel = channel.map_request(move |request: http::Request<Body>| {
        request.map(|body| Body::new(UntilGivenUp::new(body, given_up.clone())))
    });
    let mut client = NodeServiceClient::new(channel)
        .max_decoding_message_size(limits.grpc_message_bytes)
        .max_encoding_message_size(limits.grpc_message_bytes);
    let (deadline, margin) = (call.deadline, limits.hop_margin);
    let parts = call.parts.stream().map(|part| wire::part(&part));
    let mut request = timed(stream::iter([wire::start(call)]).chain(parts), deadline, margin);
    Parent::tell(request.metadata_mut().as_mut());
    let response = client.generate(request).await.map_err(|status| explain_late(&status, deadline, margin))?;
    let mut margins = wire::Margins::default();
    let mut event = move |response: Result<_, Status>| match response {
        Ok(response) => wire::member_event(response, &mut margins).map(Ok),
        // It is tonic on our side that says this, of an answer beyond the limit.
        Err(status) if status.code() == Code::OutOfRange => {
            Some(Err(Error::new(ErrorCode::MemberFailed, message(&status))))
        }
        Err(status) => Some(Err(explain_late(&status, deadline, margin))),
    };
    let events = response.into_inner().filter_map(move |response| {
        let _held = &guard;
        std::future::ready(event(response))
    });
    Ok(events.boxed())
}

/// A request whose node is told of a deadline a margin before ours.
fn timed<T>(message: T, deadline: Instant, margin: Duration) -> Request<T> {
    let mut request = Request::new(message);
    let remaining = deadline.saturating_duration_since(Instant::now());
    // tonic takes a timeout of zero for none.
    request.set_timeout(remaining.saturating_sub(margin).max(Duration::from_millis(1)));
    request
}

/// [`explain`], for a call that has a deadline: a node that stops just before it did what it was told.
fn explain_late(status: &Status, deadline: Instant, margin: Duration) -> Error {
    let error = explain(status);
    let is_late = Instant::now() + margin * 2 >= deadline;
    if error.code == ErrorCode::MemberTimedOut && is_late {
        return Error::new(ErrorCode::DeadlineExceeded, "it was not done by its deadline");
    }
    error
}

/// What a node's status means to us.
pub(crate) fn explain(status: &Status) -> Error {
    let code = match status.code() {
        Code::InvalidArgument | Code::OutOfRange | Code::FailedPrecondition => ErrorCode::PromptRefused,
        Code::NotFound | Code::Unimplemented | Code::PermissionDenied | Code::Unauthenticated => {
            ErrorCode::ModelNotHosted
        }
        Code::ResourceExhausted => ErrorCode::Overloaded,
        Code::Unavailable => ErrorCode::Unavailable,
        // Of tonic's own timer too: it reports CANCELLED on the server's side.
        Code::DeadlineExceeded | Code::Cancelled => ErrorCode::MemberTimedOut,
        // A connection that breaks is UNKNOWN or INTERNAL to tonic.
        Code::Unknown | Code::Internal | Code::Aborted | Code::DataLoss | Code::AlreadyExists | Code::Ok => {
            ErrorCode::MemberFailed
        }
    };
    let retry_after = status.get_details_retry_info().and_then(|info| info.retry_delay);
    Error { code, message: message(status), retry_after }
}

/// Characters of what a node says that an error repeats.
const MESSAGE_CHARS: usize = 1024;

/// The message with what caused it: "transport error" alone helps nobody. A node's own words are not trusted to be short or
/// printable.
fn message(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut source = status.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = if text.is_empty() { cause_text } else { format!("{text}: {cause_text}") };
        }
        source = cause.source();
    }
    if text.is_empty() {
        return status.code().description().to_owned();
    }
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(MESSAGE_CHARS).map(printable).collect()
}

/// Embeddings, one a text.
pub(super) async fn embed(
    channel: Channel,
    model: &str,
    texts: &[String],
    deadline: Instant,
    limits: &Limits,
) -> Result<Embedded, Error> {
    let mut client = NodeServiceClient::new(channel).max_decoding_message_size(limits.grpc_message_bytes);
    let request = EmbedRequest { model: model.to_owned(), texts: texts.to_vec() };
    let mut request = timed(request, deadline, limits.hop_margin);
    Parent::tell(request.metadata_mut().as_mut());
    let response = client.embed(request).await.map_err(|status| explain_late(&status, deadline, limits.hop_margin))?;
    let EmbedResponse { embeddings, prompt_tokens, truncated } = response.into_inner();
    if embeddings.len() != texts.len() {
        let message = format!("it gave {} embeddings for {} texts", embeddings.len(), texts.len());
        return Err(Error::new(ErrorCode::MemberFailed, message));
    }
    let vectors = embeddings.into_iter().map(|embedding| embedding.values).collect();
    Ok(Embedded { vectors, prompt_tokens, truncated })
}

/// A call of an API in the node's catalogues.
pub(super) async fn propose(channel: Channel, wanted: &ApiRequest, limits: &Limits) -> Result<Proposed, Error> {
    let mut client = NodeServiceClient::new(channel).max_decoding_message_size(limits.grpc_message_bytes);
    let mut request = timed(wire::call_api(wanted), wanted.deadline, limits.hop_margin);
    Parent::tell(request.metadata_mut().as_mut());
    let late = |status: Status| explain_late(&status, wanted.deadline, limits.hop_margin);
    Ok(wire::proposed(client.call_api(request).await.map_err(late)?.into_inner()))
}
