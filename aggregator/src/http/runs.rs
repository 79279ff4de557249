//! What became of requests, to those who made them.

use std::{sync::Arc, time::UNIX_EPOCH};

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use serde_json::{Value, json};

use super::{App, access::Caller, choice::reason, error::ApiError};
use crate::{
    error::{Error, ErrorCode},
    runs::{
        RunState, RunSummary,
        events::{Event, MemberFailed, MemberFinished, MemberStarted},
    },
};

/// How many are listed.
const LISTED: usize = 100;

pub(super) async fn list(State(app): State<Arc<App>>, Extension(caller): Extension<Caller>) -> Json<Value> {
    let runs = app.runner.list(usize::MAX).into_iter().filter(|run| caller.sees(run)).take(LISTED);
    Json(json!({"object": "list", "data": runs.map(|run| summary(&run)).collect::<Vec<_>>()}))
}

pub(super) async fn get(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    // Another tenant's run is told as one that isn't there.
    let id: String = id.chars().take(200).collect();
    let missing = || Error::new(ErrorCode::RunNotFound, format!("no run \"{id}\" is remembered here"));
    let run = app.runner.get(&id).ok().filter(|run| caller.sees(&run.summary)).ok_or_else(missing)?;
    let mut told = summary(&run.summary);
    told["events"] = run.events.iter().filter_map(event).collect();
    Ok(Json(told))
}

fn summary(run: &RunSummary) -> Value {
    let state = match run.state {
        RunState::Running => "running",
        RunState::Finished => "finished",
        RunState::Failed => "failed",
        RunState::Cancelled => "cancelled",
    };
    let began = run.began.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    json!({
        "id": run.run_id,
        "object": "synod.run",
        "model": run.topology,
        "created": began,
        "state": state,
        "total_ms": run.total.as_millis() as u64,
        "degraded": run.degraded,
        "error": Some(&run.error).filter(|error| !error.is_empty()),
    })
}

fn event(event: &Event) -> Option<Value> {
    Some(match event {
        Event::MemberStarted(MemberStarted { at, node, model, role, nested_run_id }) => json!({
            "type": "member_started", "stage": at.stage, "seat": at.seat, "node": node, "model": model, "role": role,
            "nested_run_id": nested_run_id,
        }),
        Event::MemberFinished(MemberFinished { at, text, finish_reason, usage, timings, .. }) => json!({
            "type": "member_finished", "stage": at.stage, "seat": at.seat, "text": text,
            "finish_reason": reason(*finish_reason), "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens, "total_ms": timings.total.as_millis() as u64,
        }),
        Event::MemberFailed(MemberFailed { at, error, text, node }) => json!({
            "type": "member_failed", "stage": at.stage, "seat": at.seat, "error": error, "text": text, "node": node,
        }),
        Event::StageFinished(stage) => json!({
            "type": "stage_finished", "stage": stage.stage, "answered": stage.answered, "failed": stage.failed,
            "took_ms": stage.took.as_millis() as u64, "decision": stage.decision,
        }),
        Event::RunFinished(run) => json!({
            "type": "run_finished", "answer": run.answer, "finish_reason": reason(run.finish_reason),
            "warnings": run.warnings,
        }),
        Event::RunFailed(run) => json!({
            "type": "run_failed", "error": run.error, "answer_so_far": run.answer_so_far, "warnings": run.warnings,
        }),
        Event::RunStarted(_) | Event::MemberDelta { .. } | Event::AnswerDelta { .. } => return None,
    })
}
