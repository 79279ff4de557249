//! What a client of the HTTP interface is told when it gets no answer: OpenAI's shape, all four keys always there.

use std::time::Duration;

use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::error::{Error, ErrorCode};

/// OpenAI's clients try again, twice, unless this says no.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// A refusal or a failure, as HTTP has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ApiError {
    pub(super) status: StatusCode,
    /// For programs, where the status alone doesn't say it.
    pub(super) code: Option<&'static str>,
    /// The field of the request that is wrong.
    pub(super) param: Option<String>,
    pub(super) message: String,
    pub(super) retry_after: Option<Duration>,
    /// Whether the same request may do better later.
    pub(super) may_retry: bool,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { status, code: Some(code), param: None, message, retry_after: None, may_retry: false }
    }

    /// A field of the request that is wrong, or asks for what cannot be done.
    pub(super) fn field(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: None, param: Some(param.into()), ..Self::new(StatusCode::BAD_REQUEST, "", message) }
    }

    /// A field that would change the answer, were it not ignored.
    pub(super) fn unsupported(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: Some("unsupported_parameter"), ..Self::field(param, message) }
    }

    /// A limit of the caller's key.
    pub(super) fn limited(message: impl Into<String>, retry_after: Duration) -> Self {
        let limited = Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded", message);
        Self { retry_after: Some(retry_after), may_retry: true, ..limited }
    }

    /// The same, about a field, unless one is named already or the request is not at fault.
    pub(super) fn about(self, param: &str) -> Self {
        let is_request = self.status == StatusCode::BAD_REQUEST;
        let param = self.param.or_else(|| is_request.then(|| param.to_owned()));
        Self { param, ..self }
    }

    fn kind(&self) -> &'static str {
        match self.status.as_u16() {
            401 => "authentication_error",
            403 => "permission_error",
            429 => "rate_limit_error",
            500.. => "server_error",
            _ => "invalid_request_error",
        }
    }

    /// The body, which is also what a stream that breaks off ends with.
    pub(super) fn body(&self) -> Value {
        let Self { code, param, message, .. } = self;
        json!({"error": {"message": message, "type": self.kind(), "param": param, "code": code}})
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let code = match error.code {
            ErrorCode::InvalidRequest => None,
            ErrorCode::PromptRefused => Some("prompt_refused"),
            ErrorCode::TopologyNotFound => Some("model_not_found"),
            ErrorCode::RunNotFound => Some("run_not_found"),
            ErrorCode::RunExists => Some("run_exists"),
            ErrorCode::ModelNotHosted => Some("model_not_hosted"),
            ErrorCode::Overloaded => Some("overloaded"),
            ErrorCode::Unavailable => Some("unavailable"),
            ErrorCode::MemberFailed => Some("member_failed"),
            ErrorCode::MemberTimedOut => Some("member_timed_out"),
            ErrorCode::SynthesisLost => Some("synthesis_lost"),
            ErrorCode::DeadlineExceeded => Some("deadline_exceeded"),
            ErrorCode::Cancelled => Some("cancelled"),
            ErrorCode::Internal => Some("internal_error"),
        };
        let status = StatusCode::from_u16(error.code.http()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let may_retry = matches!(error.code, ErrorCode::Overloaded | ErrorCode::Unavailable);
        Self { status, code, param: None, message: error.message, retry_after: error.retry_after, may_retry }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        let headers = response.headers_mut();
        headers.insert(SHOULD_RETRY, HeaderValue::from_static(if self.may_retry { "true" } else { "false" }));
        if let Some(after) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(after.as_millis().div_ceil(1000) as u64));
            headers.insert(RETRY_AFTER_MS, HeaderValue::from(after.as_millis() as u64));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_all_four_keys_and_says_whether_to_try_again() {
        for code in ErrorCode::ALL {
            let error =
                ApiError::from(Error { retry_after: Some(Duration::from_millis(1500)), ..Error::new(code, "why") });
            let body = error.body();
            let keys: Vec<&String> = body["error"].as_object().unwrap().keys().collect();
            assert_eq!(keys, ["message", "type", "param", "code"]);
            let retries = matches!(error.status.as_u16(), 429) || code == ErrorCode::Unavailable;
            let response = error.into_response();
            assert_eq!(response.status().as_u16(), code.http());
            assert_eq!(response.headers()["x-should-retry"], if retries { "true" } else { "false" }, "{code:?}");
            assert_eq!(response.headers()["retry-after"], "2");
            assert_eq!(response.headers()["retry-after-ms"], "1500");
        }
    }

    #[test]
    fn a_field_is_named_only_where_the_request_is_at_fault() {
        let refused = ApiError::from(Error::invalid("too long")).about("messages");
        assert_eq!(refused.body()["error"]["param"], "messages");
        let lost = ApiError::from(Error::new(ErrorCode::Unavailable, "away")).about("messages");
        assert_eq!(lost.body()["error"]["param"], Value::Null);
    }
}
