//! A response as typed events, each with its number.

use std::time::Duration;

use axum::response::{Response, sse::Event as Sse};
use serde_json::{Value, json};

use super::output::Output;
use crate::http::{
    answers::Answers,
    choice::{Choice, End, Step},
    error::ApiError,
    sse::{self, Telling},
};

/// A response under way.
struct Streaming {
    output: Output,
    choice: Choice,
    answers: Answers,
    begun: bool,
    ended: bool,
    /// Whether the message among the output was announced.
    speaking: bool,
    next_number: u64,
    pending: Vec<(&'static str, Value)>,
}

pub(super) fn respond(output: Output, choice: Choice, answers: Answers, keep_alive: Duration) -> Response {
    let (begun, ended, speaking, next_number, pending) = (false, false, false, 0, Vec::new());
    let streaming = Streaming { output, choice, answers, begun, ended, speaking, next_number, pending };
    sse::respond(streaming, keep_alive)
}

impl Telling for Streaming {
    async fn next(&mut self) -> Option<Vec<Sse>> {
        if self.ended {
            return None;
        }
        if !std::mem::replace(&mut self.begun, true) {
            for kind in ["response.created", "response.in_progress"] {
                self.pending.push((kind, json!({"response": self.output.response(None)})));
            }
            return Some(self.flush());
        }
        match self.answers.next().await {
            Some(Ok((_, event))) => match self.choice.take(event) {
                Step::Nothing => {}
                Step::Words { text, .. } => self.words(&text),
                Step::Draft(draft) => self.output.draft(&draft),
                Step::End(end) => self.end(*end),
            },
            Some(Err(error)) => {
                self.ended = true;
                let ApiError { code, message, .. } = error;
                let code = code.unwrap_or("server_error");
                let mut response = self.output.response(None);
                response["status"] = json!("failed");
                response["error"] = json!({"code": code, "message": message});
                self.pending.push(("response.failed", json!({"response": response})));
            }
            None => {
                self.ended = true;
                let response = self.output.response(Some(self.answers.usage()));
                self.pending.push((self.output.last_event(), json!({"response": response})));
            }
        }
        Some(self.flush())
    }
}

impl Streaming {
    fn words(&mut self, text: &str) {
        if !std::mem::replace(&mut self.speaking, true) {
            let item = self.output.message();
            self.pending.push(("response.output_item.added", json!({"output_index": 0, "item": item})));
            let part = self.output.part();
            self.push_part("response.content_part.added", json!({"part": part}));
        }
        self.output.words(text);
        self.push_part("response.output_text.delta", json!({"delta": text, "logprobs": []}));
    }

    fn end(&mut self, mut end: End) {
        let text = std::mem::take(&mut end.text);
        if !text.is_empty() || end.calls.is_empty() && !self.speaking {
            self.words(&text);
        }
        self.output.end(end);
        if self.speaking {
            let (part, item) = (self.output.part(), self.output.message());
            let text = part["text"].clone();
            self.push_part("response.output_text.done", json!({"text": text, "logprobs": []}));
            self.push_part("response.content_part.done", json!({"part": part}));
            self.pending.push(("response.output_item.done", json!({"output_index": 0, "item": item})));
        }
        for (at, call) in self.output.calls().iter().enumerate() {
            let (index, item) = (at + usize::from(self.speaking), self.output.call(at, call));
            let mut begun = item.clone();
            (begun["status"], begun["arguments"]) = (json!("in_progress"), json!(""));
            let about = |more: Value| {
                let mut event = json!({"item_id": item["id"], "output_index": index});
                event
                    .as_object_mut()
                    .into_iter()
                    .for_each(|event| event.extend(more.as_object().cloned().unwrap_or_default()));
                event
            };
            let arguments = &call.arguments;
            self.pending.push(("response.output_item.added", json!({"output_index": index, "item": begun})));
            self.pending.push(("response.function_call_arguments.delta", about(json!({"delta": arguments}))));
            let done = about(json!({"name": call.name, "arguments": arguments}));
            self.pending.push(("response.function_call_arguments.done", done));
            self.pending.push(("response.output_item.done", json!({"output_index": index, "item": item})));
        }
    }

    fn push_part(&mut self, kind: &'static str, mut event: Value) {
        event["item_id"] = json!(self.output.message_id());
        (event["output_index"], event["content_index"]) = (json!(0), json!(0));
        self.pending.push((kind, event));
    }

    /// Numbers what is pending.
    fn flush(&mut self) -> Vec<Sse> {
        let number = |(kind, mut event): (&'static str, Value)| {
            event["type"] = json!(kind);
            event["sequence_number"] = json!(self.next_number);
            self.next_number += 1;
            Sse::default().event(kind).data(event.to_string())
        };
        std::mem::take(&mut self.pending).into_iter().map(number).collect()
    }
}
