//! A completion in one piece.

use serde_json::{Value, json};

use super::{Head, usage};
use crate::{
    http::{
        answers::Answers,
        choice::{Choice, Draft, End, Step},
        error::ApiError,
    },
    members::TokenLogprob,
};

/// One answer so far.
struct Written {
    choice: Choice,
    text: String,
    logprobs: Vec<TokenLogprob>,
    drafts: Vec<Draft>,
    end: Option<Box<End>>,
}

/// Waits for all answers. Where one fails there is no completion.
pub(super) async fn collect(head: Head, mut answers: Answers) -> Result<Value, ApiError> {
    let begun = |choice| Written { choice, text: String::new(), logprobs: Vec::new(), drafts: Vec::new(), end: None };
    let mut all: Vec<Written> = head.begun().into_iter().map(begun).collect();
    while let Some(next) = answers.next().await {
        let (at, event) = next?;
        let written = &mut all[at];
        match written.choice.take(event) {
            Step::Nothing => {}
            Step::Words { text, logprobs } => {
                written.text.push_str(&text);
                written.logprobs.extend(logprobs);
            }
            Step::Draft(draft) => written.drafts.push(draft),
            Step::End(end) => {
                written.text.push_str(&end.text);
                written.logprobs.extend(end.logprobs.iter().cloned());
                written.end = Some(end);
            }
        }
    }
    Ok(head.completion(&all, usage(answers.usage())))
}

impl Head {
    fn completion(&self, all: &[Written], usage: Value) -> Value {
        let choices: Vec<Value> = all.iter().enumerate().map(|(at, written)| self.choice(at, written)).collect();
        json!({
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.model,
            "choices": choices,
            "usage": usage,
        })
    }

    fn choice(&self, at: usize, written: &Written) -> Value {
        let Written { text, logprobs, drafts, end, .. } = written;
        let calls = end.as_ref().map(|end| end.calls.as_slice()).unwrap_or_default();
        let mut message = json!({"role": "assistant", "content": text, "refusal": null});
        if !calls.is_empty() {
            message["tool_calls"] = calls.iter().enumerate().map(|(index, call)| self.call(at, index, call)).collect();
            if text.trim().is_empty() {
                message["content"] = Value::Null;
            }
        }
        let mut synod = end.as_ref().map_or(Value::Null, |end| end.told());
        if self.drafts {
            synod["drafts"] = drafts.iter().map(Draft::told).collect();
        }
        json!({
            "index": at,
            "message": message,
            "logprobs": self.logprobs(logprobs),
            "finish_reason": end.as_ref().map_or("length", |end| end.reason()),
            "synod": synod,
        })
    }
}
