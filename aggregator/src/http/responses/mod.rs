//! `POST /v1/responses`, without a memory.

mod output;
mod request;
mod stream;

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};

use super::{
    App,
    access::Caller,
    body,
    choice::{Choice, Step},
    error::ApiError,
    routes::RequestId,
};
use output::Output;
use request::ResponseRequest;

pub(super) async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Extension(asked): Extension<RequestId>,
    request: Request,
) -> Result<Response, ApiError> {
    let request: ResponseRequest = body::read(request, &app.limits).await?;
    let streaming = request.streaming();
    let wanted = request.wanted(&app.limits)?;
    let mut output = Output::new(&asked.id, &wanted.model, wanted.extension.drafts);
    let mut choice = Choice::new(wanted.tools.clone());
    let mut answers = wanted.start(&app, &caller, &asked)?;
    if streaming {
        answers.first_word(app.limits.first_word).await?;
        return Ok(stream::respond(output, choice, answers, app.limits.keep_alive));
    }
    while let Some(next) = answers.next().await {
        let (_, event) = next?;
        match choice.take(event) {
            Step::Nothing => {}
            Step::Words { text, .. } => output.words(&text),
            Step::Draft(draft) => output.draft(&draft),
            Step::End(end) => output.end(*end),
        }
    }
    Ok(Json(output.response(Some(answers.usage()))).into_response())
}
