//! A completion in chunks, as server-sent events.

use std::time::Duration;

use axum::response::{Response, sse::Event as Sse};
use serde_json::{Value, json};

use super::{Head, usage};
use crate::{
    http::{
        answers::Answers,
        choice::{Choice, End, Step},
        sse::{self, Telling},
    },
    members::TokenLogprob,
};

/// A response under way.
struct Streaming {
    head: Head,
    answers: Answers,
    choices: Vec<Choice>,
    include_usage: bool,
    begun: bool,
    ended: bool,
}

/// The response; it breaks off with an error's body where a run fails.
pub(super) fn respond(head: Head, answers: Answers, include_usage: bool, keep_alive: Duration) -> Response {
    let choices = head.begun();
    let streaming = Streaming { head, answers, choices, include_usage, begun: false, ended: false };
    sse::respond(streaming, keep_alive)
}

impl Telling for Streaming {
    async fn next(&mut self) -> Option<Vec<Sse>> {
        if self.ended {
            return None;
        }
        if !std::mem::replace(&mut self.begun, true) {
            let role = json!({"role": "assistant", "content": "", "refusal": null});
            let chunks = (0..self.choices.len()).map(|at| self.chunk(at, role.clone(), &[], None));
            return Some(chunks.map(data).collect());
        }
        match self.answers.next().await {
            Some(Ok((at, event))) => {
                let step = self.choices[at].take(event);
                Some(self.chunks(at, step).into_iter().map(data).collect())
            }
            Some(Err(error)) => {
                self.ended = true;
                Some(vec![data(error.body())])
            }
            None => {
                self.ended = true;
                let usage = self.include_usage.then(|| {
                    let mut chunk = self.head.chunk(Vec::new());
                    chunk["usage"] = usage(self.answers.usage());
                    data(chunk)
                });
                Some(usage.into_iter().chain([Sse::default().data("[DONE]")]).collect())
            }
        }
    }
}

impl Streaming {
    fn chunks(&self, at: usize, step: Step) -> Vec<Value> {
        match step {
            Step::Nothing => Vec::new(),
            Step::Words { text, logprobs } => vec![self.chunk(at, json!({"content": text}), &logprobs, None)],
            Step::Draft(draft) if self.head.drafts => {
                let mut chunk = self.chunk(at, json!({}), &[], None);
                chunk["synod"] = json!({"draft": draft.told()});
                vec![chunk]
            }
            Step::Draft(_) => Vec::new(),
            Step::End(end) => self.end(at, &end),
        }
    }

    /// What waited, the calls, and why it ended.
    fn end(&self, at: usize, end: &End) -> Vec<Value> {
        let mut chunks = Vec::new();
        if !end.text.is_empty() {
            chunks.push(self.chunk(at, json!({"content": end.text}), &end.logprobs, None));
        }
        for (index, call) in end.calls.iter().enumerate() {
            let mut delta = self.head.call(at, index, call);
            delta["index"] = json!(index);
            chunks.push(self.chunk(at, json!({"tool_calls": [delta]}), &[], None));
        }
        let mut last = self.chunk(at, json!({}), &[], Some(end.reason()));
        last["synod"] = end.told();
        chunks.push(last);
        chunks
    }

    fn chunk(&self, at: usize, delta: Value, logprobs: &[TokenLogprob], reason: Option<&str>) -> Value {
        let logprobs = if logprobs.is_empty() { Value::Null } else { self.head.logprobs(logprobs) };
        let choice = json!({"index": at, "delta": delta, "logprobs": logprobs, "finish_reason": reason});
        let mut chunk = self.head.chunk(vec![choice]);
        if self.include_usage {
            chunk["usage"] = Value::Null;
        }
        chunk
    }
}

impl Head {
    fn chunk(&self, choices: Vec<Value>) -> Value {
        let object = "chat.completion.chunk";
        json!({"id": self.id, "object": object, "created": self.created, "model": self.model, "choices": choices})
    }
}

fn data(value: Value) -> Sse {
    Sse::default().data(value.to_string())
}
