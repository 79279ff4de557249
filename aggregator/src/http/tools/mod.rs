//! Tools that a model may call: what it is told of them, the grammar that its calls obey, and how calls are read.

mod grammar;
mod read;
mod request;
mod schema;
mod splitter;

use serde_json::Value;

pub(super) use request::{ToolShape, read as read_request};
pub(super) use splitter::Splitter;

/// A call that a model made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) name: String,
    /// A JSON object, as text.
    pub(super) arguments: String,
}

/// A tool of a request.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tool {
    pub(super) name: String,
    description: Option<String>,
    /// As the request has it.
    parameters: Value,
    /// Whether every word of the schema is to be enforced; else those are that can be.
    strict: bool,
}

/// The tools that may be called, and whether one must.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tools {
    pub(super) list: Vec<Tool>,
    /// No answer but a call.
    pub(super) required: bool,
    /// Several calls in one answer.
    pub(super) parallel: bool,
}

impl Tools {
    fn knows(&self, name: &str) -> bool {
        self.list.iter().any(|tool| tool.name == name)
    }

    /// What the model is told, in the words that Qwen's models were trained on; others follow them too.
    pub(super) fn instructions(&self) -> String {
        let described = |tool: &Tool| {
            let Tool { name, description, parameters, .. } = tool;
            let function = serde_json::json!({"name": name, "description": description, "parameters": parameters});
            serde_json::json!({"type": "function", "function": function}).to_string()
        };
        let tools: Vec<String> = self.list.iter().map(described).collect();
        let whether = match self.required {
            true => "You must call",
            false => {
                "If, and only if, one of them can do what is asked, call it; otherwise answer in words. You may call"
            }
        };
        let how_many = if self.parallel { "one or more functions" } else { "one function" };
        format!(
            "# Tools\n\n{whether} {how_many} to assist with the user query.\n\nYou are provided with function signatures \
             within <tools></tools> XML tags:\n<tools>\n{}\n</tools>\n\nFor each function call, return a json object with \
             function name and arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n{{\"name\": \
             <function-name>, \"arguments\": <args-json-object>}}\n</tool_call>",
            tools.join("\n")
        )
    }
}
