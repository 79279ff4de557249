//! Whether what a call says is from the request. A grammar makes models write every required argument, also those that
//! nobody named; these are asked for, not made up.
//!
//! A value one of whose words stands in what the user said or in the document is from there. Of any other the model is asked how much
//! likelier the request makes it than no request does (pointwise mutual information): "ten" makes `10` likelier; what is as
//! likely without the request is the model's own.

use std::collections::HashSet;

use serde_json::Value;
use synod_models::{
    engine::Engine,
    text::{ChatMessage, Specials},
};

use super::{
    CallError, Decision,
    account::Account,
    document::is_required,
    prompt::{Task, prompt},
    weigh::{silent, weigh},
};
use crate::{
    apis::{Api, Call},
    prompt::Stretch,
};

/// Nats that a request must add to a value for it to be from there.
const LEAST: f64 = 1.0;

/// What a call was written from.
pub(super) struct Grounds<'a> {
    pub(super) engine: &'a Engine,
    pub(super) conversation: &'a [ChatMessage],
    pub(super) documents: &'a [String],
    pub(super) task: Task,
    /// The prompt that both make.
    pub(super) prompt: &'a Stretch,
}

impl Grounds<'_> {
    /// The decision, written in `text`, if it is from the request; else what to ask for.
    pub(super) fn hold(
        &self,
        decision: Decision,
        apis: &[&Api],
        text: &str,
        account: &mut Account,
    ) -> Result<Decision, CallError> {
        let Decision::Calls(calls) = &decision else { return Ok(decision) };
        for call in calls {
            let Some(api) = apis.iter().find(|api| api.name == call.api) else { continue };
            let arguments = self.made_up(call, api, text, account)?;
            if !arguments.is_empty() {
                return Ok(Decision::Missing { api: call.api.clone(), arguments });
            }
        }
        Ok(decision)
    }

    /// The required arguments of `call`, which is written in `text`, whose values are from nowhere.
    fn made_up(&self, call: &Call, api: &Api, text: &str, account: &mut Account) -> Result<Vec<String>, CallError> {
        let (named, numbers) = (self.words(), self.numbers());
        let mut made_up = Vec::new();
        for (name, value) in &call.arguments {
            let property = &api.parameters["properties"][name];
            let is_free = ["enum", "const"].iter().all(|fixed| property.get(fixed).is_none());
            let Some(said) = scalar(value).filter(|_| is_free && is_required(&api.parameters, name)) else { continue };
            if chunks(&said).any(|chunk| named.contains(&chunk)) || value.as_f64().is_some_and(|x| numbers.contains(&x))
            {
                continue;
            }
            let Some(written) = place(text, name, value) else { continue };
            if self.gain(name, &text[..written.start], &text[written], account)? < LEAST {
                made_up.push(name.clone());
            }
        }
        Ok(made_up)
    }

    /// What users and documents say; instructions and what models wrote before are no ground for a value.
    fn said(&self) -> impl Iterator<Item = &String> {
        let users = self.conversation.iter().filter(|message| message.role == "user");
        users.map(|message| &message.content).chain(self.documents)
    }

    /// Every word and number of that.
    fn words(&self) -> HashSet<String> {
        self.said().flat_map(|text| chunks(text)).collect()
    }

    /// Every number of that, however it is written.
    fn numbers(&self) -> Vec<f64> {
        self.said().flat_map(|text| numbers(text)).collect()
    }

    /// What the request adds to the log-probability of `value` after `before`.
    fn gain(&self, name: &str, before: &str, value: &str, account: &mut Account) -> Result<f64, CallError> {
        let ids = |text: &str| self.engine.tokenizer().encode(text, Specials::AsText);
        let (before, value) = (ids(before), ids(value));
        let mut sum = |purpose: String, prompt: &Stretch| -> Result<f64, CallError> {
            let beginning = [prompt.ids(), &before].concat();
            let likelihood = weigh(self.engine, purpose, prompt, (&beginning, &value, &[]), account)?;
            Ok(likelihood.tokens.iter().map(|&logprob| f64::from(logprob)).sum())
        };
        let without = prompt(self.engine, &silent(self.conversation), self.documents, self.task)?;
        let with = sum(format!("{name} with the request"), self.prompt)?;
        Ok(with - sum(format!("{name} without the request"), &without)?)
    }
}

/// A value that says something of its own: text or a number.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Words and numbers, in one spelling: lower case, without zeros before a number.
fn chunks(text: &str) -> impl Iterator<Item = String> {
    let chunks = text.split(|c: char| !c.is_alphanumeric()).filter(|chunk| !chunk.is_empty());
    chunks.map(|chunk| {
        let plain = chunk.trim_start_matches('0');
        if plain.is_empty() { "0".to_owned() } else { plain.to_lowercase() }
    })
}

/// Numbers with a sign, a fraction, an exponent, or commas between thousands.
fn numbers(text: &str) -> impl Iterator<Item = f64> {
    let runs = text.split(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | ',' | 'e' | 'E' | '+' | '-')));
    runs.filter_map(|run| run.replace(',', "").trim_end_matches(['.', '-', 'e']).parse().ok())
}

/// Where in an answer the argument's value stands; of a text what is between its quotes, which are no part of what it says.
fn place(text: &str, name: &str, value: &Value) -> Option<std::ops::Range<usize>> {
    let key = Value::from(name).to_string();
    text.match_indices(&key).find_map(|(at, _)| {
        let rest = text[at + key.len()..].trim_start().strip_prefix(':')?.trim_start();
        let start = text.len() - rest.len();
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        let found = values.next()?.ok()?;
        let (quote, end) = (usize::from(value.is_string()), start + values.byte_offset());
        (found == *value).then(|| start + quote..end - quote)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_found_where_it_is_written() {
        let text = r#"{"name":"time","arguments":{"at":{"time":"1"}, "time" : "14:30","n":-1.5e1}}"#;
        let written = |name, value| place(text, name, &value).map(|range| &text[range]);
        assert_eq!(written("time", json!("14:30")), Some("14:30"));
        assert_eq!(written("n", json!(-15.0)), Some("-1.5e1"));
        assert_eq!(written("time", json!("15:00")), None);
    }

    #[test]
    fn words_are_the_same_in_any_spelling() {
        let of = |text: &str| chunks(text).collect::<Vec<_>>();
        assert_eq!(of("Asia/Tokyo, 0.05 of 007 — ZÜRICH"), ["asia", "tokyo", "0", "5", "of", "7", "zürich"]);
        let of = |text: &str| numbers(text).collect::<Vec<_>>();
        assert_eq!(of("1e-9 C, then 1,000.5; -3. Then 2 e."), [1e-9, 1000.5, -3.0, 2.0]);
    }
}
