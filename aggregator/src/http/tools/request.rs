//! `tools`, `tool_choice` and `parallel_tool_calls` of a request.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Tool, Tools};
use crate::http::error::ApiError;

const MAX_NAME: usize = 64;

/// A tool: nested as chat completions have it, or flat as responses do.
#[derive(Debug, Deserialize)]
pub(in crate::http) struct ToolShape {
    #[serde(rename = "type")]
    kind: String,
    function: Option<FunctionShape>,
    #[serde(flatten)]
    flat: Option<FunctionShape>,
}

#[derive(Debug, Deserialize)]
pub(in crate::http) struct FunctionShape {
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    parameters: Option<Value>,
    #[serde(default)]
    strict: Option<bool>,
}

/// The tools that may be called; none where there are none, or the model is told to call none.
pub(in crate::http) fn read(
    shapes: Vec<ToolShape>,
    choice: Option<&Value>,
    parallel: Option<bool>,
    most: usize,
) -> Result<Option<Tools>, ApiError> {
    if shapes.len() > most {
        return Err(ApiError::field("tools", format!("{} tools are more than the {most} allowed", shapes.len())));
    }
    let mut list: Vec<Tool> = Vec::new();
    for (at, shape) in shapes.into_iter().enumerate() {
        let tool = shape.read(&format!("tools[{at}]"))?;
        if list.iter().any(|other| other.name == tool.name) {
            return Err(ApiError::field(format!("tools[{at}]"), format!("there are two tools {:?}", tool.name)));
        }
        list.push(tool);
    }
    let tools = Tools { list, required: false, parallel: parallel.unwrap_or(true) };
    let chosen = tools.chosen(choice.unwrap_or(&json!("auto")))?;
    Ok(chosen.filter(|tools| !tools.list.is_empty()))
}

impl ToolShape {
    fn read(self, param: &str) -> Result<Tool, ApiError> {
        if self.kind != "function" {
            let kind: String = self.kind.chars().take(40).collect();
            let message = format!("tools of type {kind:?} cannot be called here: functions can");
            return Err(ApiError::unsupported(format!("{param}.type"), message));
        }
        let missing = || ApiError::field(param, "a function needs a `name`");
        let FunctionShape { name, description, parameters, strict } =
            self.function.or(self.flat).ok_or_else(missing)?;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(is_plain) {
            let message = format!("a function's name has 1 to {MAX_NAME} of A-Z, a-z, 0-9, '_', '-' and '.'");
            return Err(ApiError::field(format!("{param}.function.name"), message));
        }
        let parameters = parameters.unwrap_or_else(|| json!({"type": "object", "properties": {}}));
        if !parameters.is_object() {
            return Err(ApiError::field(format!("{param}.function.parameters"), "must be a JSON schema of an object"));
        }
        Ok(Tool { name, description, parameters, strict: strict.unwrap_or(false) })
    }
}

impl Tools {
    /// What `tool_choice` leaves of them.
    fn chosen(self, choice: &Value) -> Result<Option<Self>, ApiError> {
        let wrong = |message: &str| Err(ApiError::field("tool_choice", message));
        match choice.as_str() {
            Some("auto") => return Ok(Some(self)),
            Some("none") => return Ok(None),
            Some("required") if self.list.is_empty() => return wrong("there are no tools to choose from"),
            Some("required") => return Ok(Some(Self { required: true, ..self })),
            Some(_) => return wrong("must be \"none\", \"auto\", \"required\" or name a function"),
            None => {}
        }
        match choice["type"].as_str() {
            Some("function") => {
                let named = [name_of(choice)];
                let left = self.only(&named)?;
                Ok(Some(Self { required: true, parallel: false, ..left }))
            }
            Some("allowed_tools") => {
                let allowed = if choice["allowed_tools"].is_object() { &choice["allowed_tools"] } else { choice };
                let names: Vec<&str> = allowed["tools"].as_array().into_iter().flatten().map(name_of).collect();
                let required = allowed["mode"] == "required";
                let left = self.only(&names)?;
                Ok(Some(Self { required, ..left }))
            }
            _ => wrong("must be \"none\", \"auto\", \"required\" or name a function"),
        }
    }

    fn only(self, names: &[&str]) -> Result<Self, ApiError> {
        if let Some(unknown) = names.iter().find(|name| !self.knows(name)) {
            let unknown: String = unknown.chars().take(MAX_NAME).collect();
            return Err(ApiError::field("tool_choice", format!("there is no tool {unknown:?} among `tools`")));
        }
        let list = self.list.into_iter().filter(|tool| names.contains(&tool.name.as_str())).collect();
        Ok(Self { list, ..self })
    }
}

fn name_of(choice: &Value) -> &str {
    choice["function"]["name"].as_str().or(choice["name"].as_str()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools(choice: Value) -> Result<Option<Tools>, ApiError> {
        let shapes = json!([
            {"type": "function", "function": {"name": "nested", "parameters": {"type": "object"}}},
            {"type": "function", "name": "flat", "strict": true},
        ]);
        read(serde_json::from_value(shapes).unwrap(), Some(&choice), None, 2)
    }

    #[track_caller]
    fn check(choice: Value, names: &[&str], required: bool) {
        let chosen = tools(choice).unwrap();
        let list: Vec<_> = chosen.iter().flat_map(|tools| tools.list.iter().map(|tool| tool.name.as_str())).collect();
        assert_eq!((list.as_slice(), chosen.as_ref().is_some_and(|tools| tools.required)), (names, required));
    }

    #[test]
    fn a_choice_says_which_may_and_whether_one_must() {
        check(json!("auto"), &["nested", "flat"], false);
        check(json!("required"), &["nested", "flat"], true);
        check(json!("none"), &[], false);
        check(json!({"type": "function", "function": {"name": "flat"}}), &["flat"], true);
        check(json!({"type": "function", "name": "nested"}), &["nested"], true);
        let allowed = json!({"mode": "auto", "tools": [{"type": "function", "function": {"name": "flat"}}]});
        check(json!({"type": "allowed_tools", "allowed_tools": allowed}), &["flat"], false);
        assert_eq!(tools(json!({"type": "function", "name": "x"})).unwrap_err().param.as_deref(), Some("tool_choice"));
    }

    #[test]
    fn too_many_and_doubled_tools_are_refused() {
        let shape = json!({"type": "function", "name": "a"});
        for (shapes, param) in [(json!([shape, shape]), "tools[1]"), (json!([shape, shape, shape]), "tools")] {
            let refused = read(serde_json::from_value(shapes).unwrap(), None, None, 2).unwrap_err();
            assert_eq!(refused.param.as_deref(), Some(param));
        }
        let search = json!([{"type": "web_search"}]);
        let refused = read(serde_json::from_value(search).unwrap(), None, None, 2).unwrap_err();
        assert_eq!(refused.param.as_deref(), Some("tools[0].type"));
    }
}
