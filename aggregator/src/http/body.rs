//! A request's body: whole, in time, within its limit, and JSON of the expected shape.

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{StatusCode, header},
};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::{error::ApiError, limits::HttpLimits};

/// Characters of a field's place that an error repeats.
const MAX_PATH: usize = 200;

/// Reads it, or says what is wrong with it and where.
pub(super) async fn read<T: DeserializeOwned>(request: Request, limits: &HttpLimits) -> Result<T, ApiError> {
    let headers = request.headers();
    // A web page may send anything but JSON to us unasked; for JSON its browser asks first.
    let is_json = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).is_some_and(|kind| {
        kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    });
    if !is_json {
        let message = "the body must be JSON: send `content-type: application/json`";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message));
    }
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > limits.body_bytes as u64) {
        return Err(too_large(limits));
    }
    parse(&collect(request.into_body(), limits).await?)
}

async fn collect(body: Body, limits: &HttpLimits) -> Result<Vec<u8>, ApiError> {
    match timeout(limits.body, to_bytes(body, limits.body_bytes)).await {
        Ok(Ok(bytes)) => Ok(bytes.into()),
        Ok(Err(error)) if is_length(&error) => Err(too_large(limits)),
        Ok(Err(_)) => Err(ApiError::new(StatusCode::BAD_REQUEST, "incomplete_body", "the body broke off")),
        Err(_) => {
            let message = format!("the body was not there within {:?}: send it faster", limits.body);
            Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", message))
        }
    }
}

fn is_length(error: &axum::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if error.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

fn too_large(limits: &HttpLimits) -> ApiError {
    let message = format!("the body has more than the {} bytes allowed: send less", limits.body_bytes);
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message)
}

/// serde_json stops at 128 levels, so that no nesting overflows a stack.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let (path, inner) = (error.path().to_string(), error.into_inner());
        let message = format!("the body cannot be read: {inner}");
        match path.as_str() {
            "." | "?" => ApiError { param: None, ..ApiError::field("", message) },
            path => ApiError::field(path.chars().take(MAX_PATH).collect::<String>(), message),
        }
    })?;
    json.end().map_err(|error| ApiError { param: None, ..ApiError::field("", format!("after the body: {error}")) })?;
    Ok(parsed)
}
