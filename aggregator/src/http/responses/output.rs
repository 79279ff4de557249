//! A response as far as it has come.

use serde_json::{Value, json};

use crate::{
    http::{
        choice::{Draft, End},
        tools::Call,
    },
    members::Usage,
    stages::FinishReason,
};

/// What has been written.
pub(super) struct Output {
    request_id: String,
    model: String,
    created: u64,
    text: String,
    end: Option<End>,
    /// Where the caller wants to see them.
    drafts: Option<Vec<Value>>,
}

impl Output {
    pub(super) fn new(request_id: &str, model: &str, drafts: bool) -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self {
            request_id: request_id.to_owned(),
            model: model.to_owned(),
            created: now.map_or(0, |since| since.as_secs()),
            text: String::new(),
            end: None,
            drafts: drafts.then(Vec::new),
        }
    }

    pub(super) fn words(&mut self, text: &str) {
        self.text.push_str(text);
    }

    pub(super) fn draft(&mut self, draft: &Draft) {
        if let Some(drafts) = &mut self.drafts {
            drafts.push(draft.told());
        }
    }

    pub(super) fn end(&mut self, end: End) {
        self.text.push_str(&end.text);
        self.end = Some(end);
    }

    fn is_whole(&self) -> bool {
        self.end.as_ref().is_some_and(|end| end.finish_reason == FinishReason::Stop)
    }

    /// What ends a stream: `response.completed`, or `response.incomplete` where tokens ran out.
    pub(super) fn last_event(&self) -> &'static str {
        if self.is_whole() { "response.completed" } else { "response.incomplete" }
    }

    pub(super) fn calls(&self) -> &[Call] {
        self.end.as_ref().map(|end| end.calls.as_slice()).unwrap_or_default()
    }

    /// Whether there is a message among the output; an answer without calls always has one, be it empty.
    pub(super) fn has_message(&self) -> bool {
        !self.text.is_empty() || self.calls().is_empty()
    }

    fn status(&self) -> &'static str {
        match &self.end {
            None => "in_progress",
            Some(_) if self.is_whole() => "completed",
            Some(_) => "incomplete",
        }
    }

    pub(super) fn message_id(&self) -> String {
        format!("msg_{}", self.request_id)
    }

    /// The text as a part of its message.
    pub(super) fn part(&self) -> Value {
        json!({"type": "output_text", "text": self.text, "annotations": [], "logprobs": []})
    }

    pub(super) fn message(&self) -> Value {
        let content = if self.end.is_some() { vec![self.part()] } else { Vec::new() };
        json!({
            "id": self.message_id(), "type": "message", "status": self.status(), "role": "assistant", "content": content,
        })
    }

    pub(super) fn call(&self, at: usize, call: &Call) -> Value {
        let (id, Call { name, arguments }) = (&self.request_id, call);
        json!({
            "id": format!("fc_{id}_{at}"), "type": "function_call", "status": "completed",
            "call_id": format!("call_{id}_{at}"), "name": name, "arguments": arguments,
        })
    }

    /// The whole of it, as it is now.
    pub(super) fn response(&self, usage: Option<Usage>) -> Value {
        let message = (self.end.is_some() && self.has_message()).then(|| self.message());
        let calls = self.calls().iter().enumerate().map(|(at, call)| self.call(at, call));
        let output: Vec<Value> = message.into_iter().chain(calls).collect();
        let incomplete = self.status() == "incomplete";
        let mut synod = self.end.as_ref().map_or_else(|| json!({}), |end| end.told());
        if let Some(drafts) = &self.drafts {
            synod["drafts"] = json!(drafts);
        }
        json!({
            "id": format!("resp_{}", self.request_id),
            "object": "response",
            "created_at": self.created,
            "status": self.status(),
            "error": null,
            "incomplete_details": incomplete.then(|| json!({"reason": "max_output_tokens"})),
            "instructions": null,
            "model": self.model,
            "output": output,
            "parallel_tool_calls": true,
            "tool_choice": "auto",
            "tools": [],
            "temperature": null,
            "top_p": null,
            "metadata": {},
            "store": false,
            "usage": usage.map(told),
            "synod": synod,
        })
    }
}

fn told(usage: Usage) -> Value {
    let Usage { prompt_tokens, completion_tokens, cached_prompt_tokens } = usage;
    json!({
        "input_tokens": prompt_tokens,
        "input_tokens_details": {"cached_tokens": cached_prompt_tokens},
        "output_tokens": completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": prompt_tokens.saturating_add(completion_tokens),
    })
}
