//! `POST /v1/chat/completions`.

mod request;
mod stream;
mod whole;

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{
    App,
    access::Caller,
    body,
    choice::Choice,
    error::ApiError,
    routes::RequestId,
    tools::{Call, Tools},
};
use crate::members::{TokenLogprob, Usage};
use request::ChatRequest;

/// What is the same in all of a response's pieces.
struct Head {
    id: String,
    model: String,
    created: u64,
    /// How many alternatives each token is told with; none for no word about tokens.
    top_logprobs: Option<u32>,
    drafts: bool,
    tools: Option<Arc<Tools>>,
    choices: usize,
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Extension(asked): Extension<RequestId>,
    request: Request,
) -> Result<Response, ApiError> {
    let request: ChatRequest = body::read(request, &app.limits).await?;
    let (streaming, include_usage) = request.streaming()?;
    let wanted = request.wanted(&app.limits)?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let head = Head {
        id: format!("chatcmpl-{}", asked.id),
        model: wanted.model.clone(),
        created: now.map_or(0, |since| since.as_secs()),
        top_logprobs: wanted.top_logprobs,
        drafts: wanted.extension.drafts,
        tools: wanted.tools.clone(),
        choices: wanted.choices,
    };
    let mut answers = wanted.start(&app, &caller, &asked)?;
    if !streaming {
        return Ok(Json(whole::collect(head, answers).await?).into_response());
    }
    answers.first_word(app.limits.first_word).await?;
    Ok(stream::respond(head, answers, include_usage, app.limits.keep_alive))
}

impl Head {
    fn begun(&self) -> Vec<Choice> {
        (0..self.choices).map(|_| Choice::new(self.tools.clone())).collect()
    }

    /// Of one answer's tokens, in OpenAI's words; null where nobody asked.
    fn logprobs(&self, tokens: &[TokenLogprob]) -> Value {
        let Some(most) = self.top_logprobs else { return Value::Null };
        let told = |bytes: &[u8], logprob: f32| json!({"token": String::from_utf8_lossy(bytes), "logprob": logprob, "bytes": bytes});
        let token = |token: &TokenLogprob| {
            let mut this = told(&token.bytes, token.logprob);
            this["top_logprobs"] =
                token.top.iter().take(most as usize).map(|(bytes, logprob)| told(bytes, *logprob)).collect();
            this
        };
        json!({"content": tokens.iter().map(token).collect::<Vec<_>>(), "refusal": null})
    }

    /// A call as responses have it; it goes by the answer's place and its own.
    fn call(&self, choice: usize, at: usize, call: &Call) -> Value {
        let run = self.id.trim_start_matches("chatcmpl-");
        json!({
            "id": format!("call_{run}_{choice}_{at}"),
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        })
    }
}

fn usage(usage: Usage) -> Value {
    let Usage { prompt_tokens, completion_tokens, cached_prompt_tokens } = usage;
    json!({
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens.saturating_add(completion_tokens),
        "prompt_tokens_details": {"cached_tokens": cached_prompt_tokens},
        "completion_tokens_details": {"reasoning_tokens": 0},
    })
}
