//! Errors as gRPC statuses, with details that a client's code can read.

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::error::{Error, ErrorCode};

/// Names our errors apart from others' in `google.rpc.ErrorInfo`.
const DOMAIN: &str = "synod";
/// Statuses travel in headers, which peers cap at 8 kilobytes; the message is there twice, once percent-encoded.
const MAX_MESSAGE_BYTES: usize = 1024;

/// An error as the status of a call.
pub(crate) fn status_of(error: &Error) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(error.code.name(), DOMAIN, std::collections::HashMap::<String, String>::new());
    if let Some(delay) = error.retry_after {
        details.set_retry_info(Some(delay));
    }
    Status::with_error_details(error.code.grpc(), shortened(&error.message), details)
}

/// What an aggregator's status says to its client.
pub(crate) fn error_of(status: &Status) -> Error {
    let retry_after = status.get_details_retry_info().and_then(|info| info.retry_delay);
    let code =
        told(status).unwrap_or_else(|| if is_cut(status) { ErrorCode::Unavailable } else { guessed(status.code()) });
    Error { code, message: crate::members::explain(status).message, retry_after }
}

/// What an aggregator of ours says that it is.
fn told(status: &Status) -> Option<ErrorCode> {
    let info = status.get_details_error_info().filter(|info| info.domain == DOMAIN)?;
    ErrorCode::from_name(&info.reason)
}

/// Whether it is of our own making, because a connection that was there is gone.
fn is_cut(status: &Status) -> bool {
    std::error::Error::source(status).is_some_and(|source| source.is::<tonic::transport::Error>())
}

/// What it may be, from somebody between us.
fn guessed(code: Code) -> ErrorCode {
    match code {
        Code::InvalidArgument | Code::OutOfRange => ErrorCode::InvalidRequest,
        Code::NotFound => ErrorCode::TopologyNotFound,
        Code::AlreadyExists => ErrorCode::RunExists,
        Code::FailedPrecondition => ErrorCode::ModelNotHosted,
        Code::ResourceExhausted => ErrorCode::Overloaded,
        Code::Unavailable => ErrorCode::Unavailable,
        Code::DeadlineExceeded => ErrorCode::DeadlineExceeded,
        Code::Cancelled => ErrorCode::Cancelled,
        _ => ErrorCode::Internal,
    }
}

fn shortened(message: &str) -> String {
    if message.len() <= MAX_MESSAGE_BYTES {
        return message.to_owned();
    }
    let end = (0..=MAX_MESSAGE_BYTES).rev().find(|at| message.is_char_boundary(*at)).unwrap_or_default();
    format!("{}…", &message[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_learns_the_very_code() {
        for code in ErrorCode::ALL {
            let error = Error { retry_after: Some(std::time::Duration::from_secs(3)), ..Error::new(code, "why") };
            assert_eq!(error_of(&status_of(&error)), error);
        }
        assert_eq!(error_of(&Status::unavailable("a proxy's words")).code, ErrorCode::Unavailable);
    }
}
