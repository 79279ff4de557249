//! `POST /v1/embeddings`.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Request, State},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json};
use synod_telemetry::spans;
use tokio::time::Instant;
use tracing::Instrument;

use super::{App, access::Caller, body, error::ApiError, limits::HttpLimits, models::not_found, routes::RequestId};
use crate::members::{Embedded, Nodes};

/// Bytes of a token, about.
const TOKEN_BYTES: usize = 4;

#[derive(Debug, Deserialize)]
struct EmbeddingRequest {
    model: String,
    input: InputShape,
    encoding_format: Option<String>,
    dimensions: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum InputShape {
    One(String),
    Many(Vec<String>),
    Tokens(IgnoredAny),
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Extension(id): Extension<RequestId>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let EmbeddingRequest { model, input, encoding_format, dimensions } = body::read(request, &app.limits).await?;
    let texts = texts(input, &app.limits)?;
    let as_base64 = match encoding_format.as_deref() {
        None | Some("float") => false,
        Some("base64") => true,
        Some(_) => return Err(ApiError::field("encoding_format", "must be \"float\" or \"base64\"")),
    };
    let embeds = app.hosted().get(&model).is_some_and(|hosted| !hosted.writes);
    if !caller.may_ask(&model) || !embeds {
        let missing = not_found(&model, caller.may_ask(&model));
        return Err(ApiError { message: missing.message.replace("that writes", "that embeds"), ..missing });
    }
    let bytes: usize = texts.iter().map(String::len).sum();
    let mut ticket = caller.admit(u32::try_from(bytes / TOKEN_BYTES).unwrap_or(u32::MAX))?;
    let span = spans::embedding_served(&model, &id.parent);
    let asked = app.pool.embed(&model, &texts, Instant::now() + app.limits.embed);
    let embedded = asked.instrument(span.clone()).await;
    if let Err(error) = &embedded {
        spans::failed(&span, error.code.name());
    }
    let Embedded { vectors, prompt_tokens, truncated } =
        embedded.map_err(|error| ApiError::from(error).about("input"))?;
    ticket.settle(prompt_tokens);
    // A vector cut short would still be a vector, and of another length than the model's.
    if let (Some(wanted), Some(length)) = (dimensions, vectors.first().map(Vec::len))
        && wanted != length
    {
        return Err(ApiError::unsupported("dimensions", format!("{model} gives {length} dimensions: leave this out")));
    }
    let data: Vec<Value> =
        vectors.iter().enumerate().map(|(index, vector)| embedding(index, vector, as_base64)).collect();
    Ok(Json(json!({
        "object": "list",
        "data": data,
        "model": model,
        "usage": {"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens},
        "synod": {"truncated": truncated},
    })))
}

fn texts(input: InputShape, limits: &HttpLimits) -> Result<Vec<String>, ApiError> {
    let texts = match input {
        InputShape::One(text) => vec![text],
        InputShape::Many(texts) => texts,
        InputShape::Tokens(_) => {
            return Err(ApiError::unsupported(
                "input",
                "must be a text or a list of texts: tokens are read by nobody here",
            ));
        }
    };
    if texts.is_empty() || texts.len() > limits.inputs || texts.iter().any(String::is_empty) {
        let message = format!("must be 1 to {} texts, none of them empty", limits.inputs);
        return Err(ApiError::field("input", message));
    }
    Ok(texts)
}

fn embedding(index: usize, vector: &[f32], as_base64: bool) -> Value {
    let values = match as_base64 {
        true => Value::String(
            BASE64_STANDARD.encode(vector.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>()),
        ),
        false => json!(vector),
    };
    json!({"object": "embedding", "index": index, "embedding": values})
}
