//! A request for a response: stateless, so that the conversation is all in it.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use crate::{
    http::{
        ask::{Names, Wanted, ranged},
        error::ApiError,
        extension::Extension,
        format::{Format, FormatShape},
        limits::HttpLimits,
        messages::{ContentShape, result_of_tool, spoken},
        tools::{self, Call, ToolShape},
    },
    topology::{MaxTokens, Sampling, Share, Temperature},
};

const NAMES: Names = Names { messages: "input", format: "text.format" };

#[derive(Debug, Deserialize)]
pub(super) struct ResponseRequest {
    model: String,
    input: InputShape,
    instructions: Option<String>,
    max_output_tokens: Option<u32>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    stream: Option<bool>,
    text: Option<TextShape>,
    tools: Option<Vec<ToolShape>>,
    tool_choice: Option<Value>,
    parallel_tool_calls: Option<bool>,
    synod: Option<Extension>,
    plugins: Option<Vec<Value>>,
    // What cannot be done.
    previous_response_id: Option<String>,
    conversation: Option<Value>,
    prompt: Option<Value>,
    background: Option<bool>,
    include: Option<Vec<String>>,
    top_logprobs: Option<u32>,
    reasoning: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum InputShape {
    Text(String),
    Items(Vec<ItemShape>),
}

/// A message, a call that was made, or what it gave.
#[derive(Debug, Deserialize)]
struct ItemShape {
    #[serde(rename = "type")]
    kind: Option<String>,
    role: Option<String>,
    content: Option<ContentShape>,
    name: Option<String>,
    arguments: Option<String>,
    output: Option<ContentShape>,
}

#[derive(Debug, Deserialize)]
struct TextShape {
    format: Option<FormatShape>,
    verbosity: Option<String>,
}

impl ResponseRequest {
    pub(super) fn streaming(&self) -> bool {
        self.stream.unwrap_or(false)
    }

    /// What it means, or what of it is wrong.
    pub(super) fn wanted(self, limits: &HttpLimits) -> Result<Wanted, ApiError> {
        self.refuse()?;
        let system = self.instructions.map(|text| ("system".to_owned(), text));
        let messages = match self.input {
            InputShape::Text(text) => vec![("user".to_owned(), text)],
            InputShape::Items(items) => {
                let read = |(at, item): (usize, ItemShape)| item.read(&format!("input[{at}]"));
                items.into_iter().enumerate().map(read).collect::<Result<_, _>>()?
            }
        };
        let (shapes, choice) = (self.tools.unwrap_or_default(), self.tool_choice.as_ref());
        let tools = tools::read_request(shapes, choice, self.parallel_tool_calls, limits.tools)?;
        Ok(Wanted {
            model: self.model,
            messages: system.into_iter().chain(messages).collect(),
            sampling: Sampling {
                max_tokens: ranged("max_output_tokens", self.max_output_tokens, MaxTokens::try_new)?,
                temperature: ranged("temperature", self.temperature, Temperature::try_new)?,
                top_p: ranged("top_p", self.top_p, Share::try_new)?,
                ..Sampling::default()
            },
            format: Format::read(self.text.and_then(|text| text.format), "text.format")?,
            tools: tools.map(Arc::new),
            top_logprobs: None,
            choices: 1,
            extension: self.synod.unwrap_or_default(),
            plugins: self.plugins.unwrap_or_default(),
            names: NAMES,
        })
    }

    fn refuse(&self) -> Result<(), ApiError> {
        let is_set = |value: &Option<Value>| value.as_ref().is_some_and(|value| !value.is_null());
        let effort = self.reasoning.as_ref().map(|reasoning| &reasoning["effort"]);
        let reasons = effort.is_some_and(|effort| !effort.is_null() && effort != "none" && effort != "minimal");
        let verbosity = self.text.as_ref().and_then(|text| text.verbosity.as_deref());
        let stateless = "nothing is kept here between responses: send the whole conversation as `input`";
        let refused = [
            (self.previous_response_id.is_some(), "previous_response_id", stateless),
            (is_set(&self.conversation), "conversation", stateless),
            (is_set(&self.prompt), "prompt", stateless),
            (self.background == Some(true), "background", stateless),
            (self.include.as_ref().is_some_and(|include| !include.is_empty()), "include", "it is not supported here"),
            (self.top_logprobs.is_some_and(|top| top > 0), "top_logprobs", "chat completions tell of tokens"),
            (reasons, "reasoning.effort", "these models don't reason apart"),
            (verbosity.is_some_and(|verbosity| verbosity != "medium"), "text.verbosity", "ask for it in words"),
        ];
        match refused.into_iter().find(|(is_set, ..)| *is_set) {
            None => Ok(()),
            Some((_, param, why)) => Err(ApiError::unsupported(param, format!("{param} is not supported: {why}"))),
        }
    }
}

impl ItemShape {
    fn read(self, param: &str) -> Result<(String, String), ApiError> {
        let text = |content: Option<ContentShape>, field: &str| {
            content.map_or(Ok(String::new()), |content| content.text(&format!("{param}.{field}")))
        };
        match (self.kind.as_deref(), self.role.as_deref()) {
            (None | Some("message"), Some("system" | "developer")) => {
                Ok(("system".to_owned(), text(self.content, "content")?))
            }
            (None | Some("message"), Some(role @ ("user" | "assistant"))) => {
                Ok((role.to_owned(), text(self.content, "content")?))
            }
            (Some("function_call"), _) => {
                let missing = || ApiError::field(param, "a call needs its `name` and `arguments`");
                let (name, arguments) = (self.name.ok_or_else(missing)?, self.arguments.ok_or_else(missing)?);
                Ok(("assistant".to_owned(), spoken(String::new(), [Call { name, arguments }].into_iter())))
            }
            (Some("function_call_output"), _) => Ok(result_of_tool(&text(self.output, "output")?)),
            _ => {
                let message = "must be a message of a user, an assistant, a developer or the system, a function_call, or a \
                               function_call_output";
                Err(ApiError::unsupported(param, message))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wanted(body: Value) -> Result<Wanted, ApiError> {
        serde_json::from_value::<ResponseRequest>(body).unwrap().wanted(&HttpLimits::standard())
    }

    #[test]
    fn a_conversation_with_calls_is_read() {
        let read = wanted(json!({"model": "m", "instructions": "be brief", "input": [
            {"role": "user", "content": "a"},
            {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "1", "output": "42"},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "b"}]},
        ]}));
        let roles: Vec<_> = read.unwrap().messages.into_iter().map(|(role, _)| role).collect();
        assert_eq!(roles, ["system", "user", "assistant", "user", "user"]);
    }

    #[test]
    fn what_needs_a_memory_is_refused_by_name() {
        for (more, param) in [
            (json!({"previous_response_id": "resp_1"}), "previous_response_id"),
            (json!({"background": true}), "background"),
            (json!({"reasoning": {"effort": "high"}}), "reasoning.effort"),
            (json!({"input": [{"type": "item_reference", "id": "x"}]}), "input[0]"),
        ] {
            let mut body = json!({"model": "m", "input": "hi"});
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            assert_eq!(wanted(body).err().unwrap().param.as_deref(), Some(param));
        }
    }
}
