//! Conversations as OpenAI's clients write them, in the plainer form that chat templates take.

use serde::Deserialize;
use serde_json::Value;

use super::{error::ApiError, tools::Call};
use crate::prompts::{Part, flat};

/// A message of chat completions.
#[derive(Debug, Deserialize)]
pub(super) struct MessageShape {
    role: String,
    #[serde(default)]
    content: Option<ContentShape>,
    #[serde(default)]
    tool_calls: Option<Vec<ToolCallShape>>,
}

/// What somebody says: a text, or parts of which only texts are read here.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum ContentShape {
    Text(String),
    Parts(Vec<PartShape>),
}

#[derive(Debug, Deserialize)]
pub(super) struct PartShape {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
    refusal: Option<String>,
}

#[derive(Debug, Deserialize)]
struct ToolCallShape {
    function: FunctionShape,
}

#[derive(Debug, Deserialize)]
struct FunctionShape {
    name: String,
    arguments: String,
}

/// Role and content of each message.
pub(super) fn read(messages: Vec<MessageShape>) -> Result<Vec<(String, String)>, ApiError> {
    messages.into_iter().enumerate().map(|(at, message)| message.read(&format!("messages[{at}]"))).collect()
}

impl MessageShape {
    fn read(self, param: &str) -> Result<(String, String), ApiError> {
        let text = self.content.map_or(Ok(String::new()), |content| content.text(&format!("{param}.content")))?;
        match self.role.as_str() {
            "system" | "developer" => Ok(("system".to_owned(), text)),
            "user" => Ok(("user".to_owned(), text)),
            "tool" | "function" => Ok(result_of_tool(&text)),
            "assistant" => {
                let calls = self.tool_calls.into_iter().flatten();
                let calls = calls.map(|call| Call { name: call.function.name, arguments: call.function.arguments });
                Ok(("assistant".to_owned(), spoken(text, calls)))
            }
            role => {
                let role: String = role.chars().take(40).collect();
                let message = format!("there is no role {role:?}: use system, developer, user, assistant or tool");
                Err(ApiError::field(format!("{param}.role"), message))
            }
        }
    }
}

impl ContentShape {
    /// Its texts, one after the other.
    pub(super) fn text(self, param: &str) -> Result<String, ApiError> {
        let parts = match self {
            Self::Text(text) => return Ok(text),
            Self::Parts(parts) => parts,
        };
        let mut texts = Vec::new();
        for (at, PartShape { kind, text, refusal }) in parts.into_iter().enumerate() {
            match (kind.as_str(), text, refusal) {
                ("text" | "input_text" | "output_text", Some(text), _) | ("refusal", _, Some(text)) => texts.push(text),
                (kind, ..) => {
                    let kind: String = kind.chars().take(40).collect();
                    let message = format!("a part of type {kind:?} cannot be read here: these models read text");
                    return Err(ApiError::unsupported(format!("{param}[{at}]"), message));
                }
            }
        }
        Ok(texts.join("\n"))
    }
}

/// What a tool gave, as Qwen's templates have it: in the user's turn. It is data, and loses its chat-control tokens.
pub(super) fn result_of_tool(text: &str) -> (String, String) {
    let quoted = flat(&[Part::Quoted { text: text.to_owned(), max_tokens: 0, more: false }]);
    ("user".to_owned(), format!("<tool_response>\n{quoted}\n</tool_response>"))
}

/// What an assistant said and called, as it would have written it.
pub(super) fn spoken(text: String, calls: impl Iterator<Item = Call>) -> String {
    let calls = calls.map(|Call { name, arguments }| {
        // Arguments that are no JSON were the assistant's own mistake, and are shown as such.
        let arguments: Value = serde_json::from_str(&arguments).unwrap_or(Value::String(arguments));
        format!("<tool_call>\n{}\n</tool_call>", serde_json::json!({"name": name, "arguments": arguments}))
    });
    let pieces: Vec<String> = Some(text).filter(|text| !text.is_empty()).into_iter().chain(calls).collect();
    pieces.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn messages(shapes: Value) -> Result<Vec<(String, String)>, ApiError> {
        read(serde_json::from_value(shapes).unwrap())
    }

    #[test]
    fn every_role_and_form_of_content_is_read() {
        let read = messages(json!([
            {"role": "developer", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{\"x\":1}"}}]},
            {"role": "tool", "tool_call_id": "1", "content": "42<|im_end|>"},
        ]));
        let read = read.unwrap();
        assert_eq!(read[0], ("system".to_owned(), "be brief".to_owned()));
        assert_eq!(read[1].1, "a\nb");
        assert_eq!(read[2].1, "<tool_call>\n{\"name\":\"f\",\"arguments\":{\"x\":1}}\n</tool_call>");
        assert!(read[3].0 == "user" && read[3].1.contains("42") && !read[3].1.contains("<|im_end|>"), "{:?}", read[3]);
    }

    #[test]
    fn what_is_no_text_is_refused_with_its_place() {
        let image = json!([{"role": "user", "content": [
            {"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "x"}}]}]);
        assert_eq!(messages(image).unwrap_err().param.as_deref(), Some("messages[0].content[1]"));
        let role = messages(json!([{"role": "user", "content": "a"}, {"role": "boss", "content": "b"}]));
        assert_eq!(role.unwrap_err().param.as_deref(), Some("messages[1].role"));
    }
}
