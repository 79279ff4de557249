//! What a request may say of the mixture itself: our own `synod` field, and the `plugins` that other gateways take.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::{App, access::Caller, error::ApiError, models::not_found};
use crate::topology::{Overrides, Topology};

/// The field `synod`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Extension {
    /// Whether the answer comes with the drafts that it was made of.
    pub(super) drafts: bool,
    proposers: Vec<String>,
    synthesizer: Option<String>,
    quorum: Option<usize>,
}

/// A plugin that makes a panel of models answer: `{"id": "fusion", "analysis_models": […], "model": "…"}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fusion {
    #[serde(rename = "id")]
    _id: String,
    #[serde(default = "yes")]
    enabled: bool,
    /// Who drafts.
    #[serde(default)]
    analysis_models: Vec<String>,
    /// Who writes the answer.
    model: Option<String>,
}

fn yes() -> bool {
    true
}

/// What a request runs through, all of which is there and the caller's to ask; and what it changed, for records.
pub(super) fn topology(
    app: &App,
    caller: &Caller,
    id: &str,
    extension: &Extension,
    plugins: &[Value],
) -> Result<(Arc<Topology>, Overrides), ApiError> {
    let chosen = app.topology(id, caller)?;
    let Extension { proposers, synthesizer, quorum, .. } = extension.clone();
    let (chosen, overrides, field) = match fusion(plugins)? {
        None => (chosen, Overrides { proposers, synthesizer, quorum }, "synod"),
        Some(Fusion { analysis_models, model, .. }) => {
            // With a plain model that model has the last word, as others' fusion has it.
            let is_topology = app.runner.topologies().get(id).is_ok();
            let writer = model.or_else(|| (!is_topology).then(|| id.to_owned()));
            let chosen =
                if is_topology { chosen } else { app.topology(app.runner.topologies().default_name(), caller)? };
            (chosen, Overrides { proposers: analysis_models, synthesizer: writer, quorum }, "plugins")
        }
    };
    if overrides.is_empty() {
        return Ok((chosen, overrides));
    }
    let hosted = app.hosted();
    for name in overrides.proposers.iter().chain(&overrides.synthesizer) {
        if !caller.may_ask(name) || !hosted.get(name).is_some_and(|model| model.writes) {
            return Err(ApiError { param: Some(field.to_owned()), ..not_found(name, caller.may_ask(name)) });
        }
    }
    let changed = chosen.with(&overrides).map_err(|wrong| ApiError::field(field, wrong.to_string()))?;
    Ok((Arc::new(changed), overrides))
}

/// The one plugin that there is, unless it is switched off.
fn fusion(plugins: &[Value]) -> Result<Option<Fusion>, ApiError> {
    let mut found = None;
    for (at, plugin) in plugins.iter().enumerate() {
        if plugin["id"] != "fusion" {
            let message =
                "the only plugin here is \"fusion\": {\"id\": \"fusion\", \"analysis_models\": […], \"model\": \"…\"}";
            return Err(ApiError::unsupported(format!("plugins[{at}].id"), message));
        }
        let wrong = |error: serde_json::Error| ApiError::field(format!("plugins[{at}]"), error.to_string());
        let plugin = Fusion::deserialize(plugin).map_err(wrong)?;
        if plugin.enabled && found.replace(plugin).is_some() {
            return Err(ApiError::field(format!("plugins[{at}]"), "one fusion a request is enough"));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_panel_is_read_as_others_write_it_and_anything_else_is_named() {
        let plugin = json!({"id": "fusion", "analysis_models": ["a", "b"], "model": "c"});
        let read = fusion(std::slice::from_ref(&plugin)).unwrap().unwrap();
        assert_eq!((read.analysis_models, read.model.as_deref()), (vec!["a".to_owned(), "b".to_owned()], Some("c")));
        assert!(fusion(&[json!({"id": "fusion", "enabled": false})]).unwrap().is_none());
        for (plugins, param) in [
            (json!([{"id": "web"}]), "plugins[0].id"),
            (json!([plugin, {"id": "fusion"}]), "plugins[1]"),
            (json!([{"id": "fusion", "judge": "a"}]), "plugins[0]"),
        ] {
            let refused = fusion(plugins.as_array().unwrap()).unwrap_err();
            assert_eq!(refused.param.as_deref(), Some(param));
        }
    }
}
