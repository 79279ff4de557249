//! A request for completions: what is read, and what is refused because it would change the answer. Other fields are passed
//! over.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use crate::{
    http::{
        ask::{Names, Wanted, ranged, stops},
        error::ApiError,
        extension::Extension,
        format::{Format, FormatShape},
        limits::HttpLimits,
        messages::{self, MessageShape},
        tools::{self, ToolShape},
    },
    topology::{MaxTokens, RepetitionPenalty, Sampling, Share, Temperature, TopK},
};

const MAX_TOP_LOGPROBS: u32 = 20;
const NAMES: Names = Names { messages: "messages", format: "response_format" };

/// The body, in OpenAI's words and a few of other engines'.
#[derive(Debug, Deserialize)]
pub(super) struct ChatRequest {
    model: String,
    messages: Vec<MessageShape>,
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    top_k: Option<u32>,
    min_p: Option<f32>,
    repetition_penalty: Option<f32>,
    seed: Option<i64>,
    stop: Option<StopShape>,
    n: Option<usize>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    logprobs: Option<bool>,
    top_logprobs: Option<u32>,
    response_format: Option<FormatShape>,
    tools: Option<Vec<ToolShape>>,
    tool_choice: Option<Value>,
    parallel_tool_calls: Option<bool>,
    synod: Option<Extension>,
    plugins: Option<Vec<Value>>,
    // What cannot be done.
    presence_penalty: Option<f32>,
    frequency_penalty: Option<f32>,
    logit_bias: Option<Value>,
    modalities: Option<Vec<String>>,
    audio: Option<Value>,
    functions: Option<Value>,
    function_call: Option<Value>,
    web_search_options: Option<Value>,
    reasoning_effort: Option<String>,
    verbosity: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum StopShape {
    One(String),
    Many(Vec<String>),
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

impl ChatRequest {
    /// Whether the answer is streamed, and its usage told at the end.
    pub(super) fn streaming(&self) -> Result<(bool, bool), ApiError> {
        let streaming = self.stream.unwrap_or(false);
        match &self.stream_options {
            Some(_) if !streaming => Err(ApiError::field("stream_options", "is for streams only: set `stream`")),
            options => Ok((streaming, options.as_ref().and_then(|options| options.include_usage).unwrap_or(false))),
        }
    }

    /// What it means, or what of it is wrong.
    pub(super) fn wanted(self, limits: &HttpLimits) -> Result<Wanted, ApiError> {
        self.refuse()?;
        let choices = self.n.unwrap_or(1);
        if !(1..=limits.choices).contains(&choices) {
            return Err(ApiError::field("n", format!("n must be between 1 and {}", limits.choices)));
        }
        let top_logprobs = match (self.logprobs.unwrap_or(false), self.top_logprobs) {
            (true, top) => Some(top.unwrap_or(0)),
            (false, None | Some(0)) => None,
            (false, Some(_)) => return Err(ApiError::field("top_logprobs", "needs `logprobs` to be true")),
        };
        if top_logprobs.is_some_and(|top| top > MAX_TOP_LOGPROBS) {
            return Err(ApiError::field("top_logprobs", format!("must be between 0 and {MAX_TOP_LOGPROBS}")));
        }
        let sampling = Sampling {
            max_tokens: match self.max_completion_tokens {
                None => ranged("max_tokens", self.max_tokens, MaxTokens::try_new)?,
                most => ranged("max_completion_tokens", most, MaxTokens::try_new)?,
            },
            temperature: ranged("temperature", self.temperature, Temperature::try_new)?,
            top_k: ranged("top_k", self.top_k, TopK::try_new)?,
            top_p: ranged("top_p", self.top_p, Share::try_new)?,
            min_p: ranged("min_p", self.min_p, Share::try_new)?,
            repetition_penalty: ranged("repetition_penalty", self.repetition_penalty, RepetitionPenalty::try_new)?,
            seed: self.seed.map(i64::cast_unsigned),
            stop: stops(match self.stop {
                None => Vec::new(),
                Some(StopShape::One(stop)) => vec![stop],
                Some(StopShape::Many(stops)) => stops,
            })?,
        };
        let (shapes, choice) = (self.tools.unwrap_or_default(), self.tool_choice.as_ref());
        let tools = tools::read_request(shapes, choice, self.parallel_tool_calls, limits.tools)?;
        Ok(Wanted {
            model: self.model,
            messages: messages::read(self.messages)?,
            sampling,
            format: Format::read(self.response_format, "response_format")?,
            tools: tools.map(Arc::new),
            top_logprobs,
            choices,
            extension: self.synod.unwrap_or_default(),
            plugins: self.plugins.unwrap_or_default(),
            names: NAMES,
        })
    }

    /// What would change the answer and cannot be had. Values that change nothing are fine.
    fn refuse(&self) -> Result<(), ApiError> {
        let is_set = |value: &Option<Value>| value.as_ref().is_some_and(|value| !value.is_null());
        let has = |value: &Option<Value>| is_set(value) && *value != Some(Value::Object(serde_json::Map::new()));
        let penalty = |value: Option<f32>| value.is_some_and(|value| value != 0.0);
        let other =
            |value: &Option<String>, same: &[&str]| value.as_deref().is_some_and(|value| !same.contains(&value));
        let text_only = |kinds: &Vec<String>| kinds.iter().all(|kind| kind == "text");
        let refused = [
            (penalty(self.presence_penalty), "presence_penalty", "use `repetition_penalty`"),
            (penalty(self.frequency_penalty), "frequency_penalty", "use `repetition_penalty`"),
            (has(&self.logit_bias), "logit_bias", "leave it out"),
            (!self.modalities.as_ref().is_none_or(text_only), "modalities", "these models write text"),
            (is_set(&self.audio), "audio", "these models write text"),
            (is_set(&self.functions), "functions", "use `tools`"),
            (is_set(&self.function_call), "function_call", "use `tool_choice`"),
            (is_set(&self.web_search_options), "web_search_options", "nothing here searches the web"),
            (
                other(&self.reasoning_effort, &["none", "minimal"]),
                "reasoning_effort",
                "these models don't reason apart",
            ),
            (other(&self.verbosity, &["medium"]), "verbosity", "ask for it in words, or bound it by `max_tokens`"),
        ];
        match refused.into_iter().find(|(is_set, ..)| *is_set) {
            None => Ok(()),
            Some((_, param, instead)) => {
                Err(ApiError::unsupported(param, format!("{param} is not supported here: {instead}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wanted(more: Value) -> Result<Wanted, ApiError> {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value::<ChatRequest>(body).unwrap().wanted(&HttpLimits::standard())
    }

    #[track_caller]
    fn check_refused(more: Value, param: &str) {
        let refused = wanted(more.clone()).err().unwrap_or_else(|| panic!("{more} was taken"));
        assert_eq!((refused.status.as_u16(), refused.param.as_deref()), (400, Some(param)), "{more}");
    }

    #[test]
    fn what_would_change_the_answer_is_refused_by_name() {
        check_refused(json!({"presence_penalty": 0.5}), "presence_penalty");
        check_refused(json!({"frequency_penalty": -1}), "frequency_penalty");
        check_refused(json!({"logit_bias": {"50256": -100}}), "logit_bias");
        check_refused(json!({"modalities": ["text", "audio"]}), "modalities");
        check_refused(json!({"functions": []}), "functions");
        check_refused(json!({"reasoning_effort": "high"}), "reasoning_effort");
        check_refused(json!({"verbosity": "low"}), "verbosity");
    }

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        check_refused(json!({"temperature": 2.5}), "temperature");
        check_refused(json!({"top_p": 1.5}), "top_p");
        check_refused(json!({"max_tokens": 0}), "max_tokens");
        check_refused(json!({"max_completion_tokens": 1_000_000}), "max_completion_tokens");
        check_refused(json!({"n": 0}), "n");
        check_refused(json!({"n": 129}), "n");
        check_refused(json!({"stop": ["a", "b", "c", "d", "e"]}), "stop");
        check_refused(json!({"stop": "x".repeat(1 << 20)}), "stop");
        check_refused(json!({"top_logprobs": 2}), "top_logprobs");
        check_refused(json!({"logprobs": true, "top_logprobs": 21}), "top_logprobs");
        check_refused(
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "a b"}}}),
            "response_format.name",
        );
    }

    #[test]
    fn what_changes_nothing_or_is_unknown_is_fine() {
        let fine = json!({
            "presence_penalty": 0, "logit_bias": {}, "store": true, "user": "u", "metadata": {"a": "b"},
            "prediction": {"type": "content", "content": "x"}, "made_up": 1, "stop": null, "tools": null,
            "modalities": ["text"], "verbosity": "medium", "service_tier": "auto", "n": 2, "seed": -1,
        });
        let wanted = wanted(fine).unwrap();
        assert_eq!((wanted.choices, wanted.sampling.seed), (2, Some(u64::MAX)));
    }
}
