//! What can be asked: topologies, and the models that nodes host.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::StatusCode,
};
use serde_json::{Value, json};

use super::{App, access::Caller, error::ApiError};
use crate::{discovery::NodeState, topology::Topology};

/// A model as the nodes that are ready host it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hosted {
    pub(super) writes: bool,
    /// The least of all nodes' that host it: any of them may answer.
    pub(super) context: u32,
}

impl App {
    pub(super) fn hosted(&self) -> BTreeMap<String, Hosted> {
        let mut hosted: BTreeMap<String, Hosted> = BTreeMap::new();
        let ready = self.pool.list().into_iter().filter(|node| node.status.state == NodeState::Ready);
        for model in ready.flat_map(|node| node.status.models) {
            let here = Hosted { writes: model.writes, context: model.context_length };
            let known = hosted.entry(model.name).or_insert(here);
            known.context = known.context.min(here.context);
        }
        hosted
    }

    /// What a model's id stands for.
    pub(super) fn topology(&self, id: &str, caller: &Caller) -> Result<Arc<Topology>, ApiError> {
        let allowed = caller.may_ask(id);
        if allowed && !id.is_empty() {
            if let Ok(topology) = self.runner.topologies().get(id) {
                return Ok(Arc::clone(topology));
            }
            if self.hosted().get(id).is_some_and(|model| model.writes) {
                return Ok(Arc::new(Topology::alone(id)));
            }
        }
        Err(not_found(id, allowed))
    }
}

/// Of a key's other models it is not told whether there are any.
pub(super) fn not_found(id: &str, allowed: bool) -> ApiError {
    let id: String = id.chars().take(100).collect();
    let message = match allowed {
        true => format!("there is no model {id:?} that writes here: `GET /v1/models` lists those that there are"),
        false => format!("this key may not ask the model {id:?}: `GET /v1/models` lists those that it may"),
    };
    ApiError { param: Some("model".to_owned()), ..ApiError::new(StatusCode::NOT_FOUND, "model_not_found", message) }
}

pub(super) async fn list(State(app): State<Arc<App>>, Extension(caller): Extension<Caller>) -> Json<Value> {
    Json(json!({"object": "list", "data": all(&app, &caller)}))
}

pub(super) async fn get(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let found = all(&app, &caller).into_iter().find(|model| model["id"] == id);
    found.map(Json).ok_or_else(|| not_found(&id, caller.may_ask(&id)))
}

fn all(app: &App, caller: &Caller) -> Vec<Value> {
    let hosted = app.hosted();
    let mut models: Vec<Value> = Vec::new();
    for topology in app.runner.topologies().iter().filter(|topology| caller.may_ask(topology.name())) {
        let needed = topology.models();
        let contexts = needed.iter().filter_map(|name| hosted.get(*name)).filter(|model| model.writes);
        let details = json!({
            "kind": "topology",
            "description": topology.description(),
            "models": needed,
            "ready": needed.iter().all(|name| hosted.contains_key(*name)),
        });
        models.push(model(app, topology.name(), contexts.map(|model| model.context).min(), details));
    }
    let names = app.runner.topologies();
    let own = hosted.iter().filter(|(name, _)| caller.may_ask(name) && names.get(name).is_err());
    for (name, Hosted { writes, context }) in own {
        let kind = if *writes { "model" } else { "embedding" };
        models.push(model(app, name, Some(*context), json!({"kind": kind, "ready": true})));
    }
    models
}

/// `context_length` is null where no node hosts a topology's models.
fn model(app: &App, id: &str, context: Option<u32>, details: Value) -> Value {
    let (created, owner) = (app.began, "synod");
    json!({"id": id, "object": "model", "created": created, "owned_by": owner, "context_length": context, "synod": details})
}
