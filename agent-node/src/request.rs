//! `GenerateStart` checked and in this crate's own terms, and engine events in the protocol's.

use synod_models::{
    engine::{Event, FinishReason, Finished, Sampling, SequenceOptions, TokenEvent},
    grammar::Grammar,
    text::ChatMessage,
};
use synod_proto::v1::{
    self, GenerateFinished, GenerateResponse, GenerateStart, GenerateTimings, TokenDelta, TokenLogprob, Usage,
    generate_response, grammar::Kind, prompt_part, token_logprob::Alternative,
};

use crate::{
    host::wire,
    prompt::Part,
    service::ServiceLimits,
    status::{NodeError, shorten},
};

const ROLES: [&str; 4] = ["system", "user", "assistant", "tool"];
const MAX_MESSAGES: usize = 1024;
const MAX_STOPS: usize = 8;
const MAX_STOP_BYTES: usize = 256;
const MAX_TOP_LOGPROBS: u32 = 20;

/// What a member that says nothing about sampling gets.
const DEFAULT_MAX_TOKENS: u32 = 512;
const DEFAULT_TEMPERATURE: f32 = 0.7;
const DEFAULT_TOP_P: f32 = 0.95;
const DEFAULT_TOP_K: u32 = 40;

/// A request to write, checked as far as that goes without its model.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) model: String,
    pub(crate) run_id: String,
    pub(crate) messages: Vec<ChatMessage>,
    pub(crate) options: SequenceOptions,
    /// Quoted parts that will come, if that is known.
    pub(crate) quoted_parts: usize,
    /// Whether to tell what the model is given.
    pub(crate) record: bool,
}

impl Order {
    pub(crate) fn try_new(start: GenerateStart, limits: &ServiceLimits) -> Result<Self, NodeError> {
        let GenerateStart { model, messages, sampling, run_id, ignore_end, top_logprobs, grammar, .. } = start;
        if messages.is_empty() {
            return Err(NodeError::invalid("messages", "send one message at least"));
        }
        if messages.len() > MAX_MESSAGES {
            return Err(NodeError::invalid(
                "messages",
                format!("{} are too many: at most {MAX_MESSAGES}", messages.len()),
            ));
        }
        let bytes = messages.iter().map(|message| message.content.len()).sum();
        check_bytes(bytes, limits)?;
        if top_logprobs > MAX_TOP_LOGPROBS {
            let reason = format!("{top_logprobs} are too many: at most {MAX_TOP_LOGPROBS}");
            return Err(NodeError::invalid("top_logprobs", reason));
        }
        let messages = messages.into_iter().map(message).collect::<Result<_, _>>()?;
        let grammar = grammar.map(constraint).transpose()?;
        let options = sequence_options(sampling.unwrap_or_default(), ignore_end, top_logprobs)?;
        let options = SequenceOptions { grammar, ..options };
        Ok(Self { model, run_id, messages, options, quoted_parts: start.quoted_parts as usize, record: start.record })
    }
}

/// Tokenising costs time before the tokens can be counted: a prompt that no context holds is refused unread.
pub(crate) fn check_bytes(bytes: usize, limits: &ServiceLimits) -> Result<(), NodeError> {
    if bytes <= limits.max_prompt_bytes {
        return Ok(());
    }
    let reason =
        format!("the prompt has {bytes} bytes or more, and this node reads {}: shorten it", limits.max_prompt_bytes);
    Err(NodeError::invalid("messages", reason))
}

fn message(message: v1::Message) -> Result<ChatMessage, NodeError> {
    let v1::Message { role, content } = message;
    if !ROLES.contains(&role.as_str()) {
        let reason = format!("the role `{}` is not known: use {}", shorten(&role), ROLES.join(", "));
        return Err(NodeError::invalid("messages.role", reason));
    }
    Ok(ChatMessage { role, content })
}

fn constraint(grammar: v1::Grammar) -> Result<Grammar, NodeError> {
    match grammar.kind {
        Some(Kind::JsonSchema(source)) => Ok(Grammar::JsonSchema(source)),
        Some(Kind::Regex(source)) => Ok(Grammar::Regex(source)),
        Some(Kind::Lark(source)) => Ok(Grammar::Lark(source)),
        Some(Kind::JsonObject(_)) => Ok(Grammar::JsonObject),
        None => Err(NodeError::invalid("grammar", "it is empty: leave it out for free text")),
    }
}

fn sequence_options(wire: v1::Sampling, ignore_end: bool, top_logprobs: u32) -> Result<SequenceOptions, NodeError> {
    let max_tokens = wire.max_tokens.unwrap_or(DEFAULT_MAX_TOKENS) as usize;
    if max_tokens == 0 {
        return Err(NodeError::invalid("sampling.max_tokens", "must be 1 at least"));
    }
    let sampling = Sampling {
        temperature: wire.temperature.unwrap_or(DEFAULT_TEMPERATURE),
        top_k: wire.top_k.unwrap_or(DEFAULT_TOP_K) as usize,
        top_p: wire.top_p.unwrap_or(DEFAULT_TOP_P),
        min_p: wire.min_p.unwrap_or(0.0),
        repetition_penalty: wire.repetition_penalty.unwrap_or(1.0),
        seed: wire.seed.unwrap_or_else(rand::random),
    };
    sampling.validate().map_err(|reason| NodeError::invalid("sampling", reason))?;
    let stop = wire.stop;
    if stop.len() > MAX_STOPS {
        return Err(NodeError::invalid("sampling.stop", format!("{} are too many: at most {MAX_STOPS}", stop.len())));
    }
    if stop.iter().any(|stop| stop.is_empty() || stop.len() > MAX_STOP_BYTES) {
        return Err(NodeError::invalid("sampling.stop", format!("each must have 1 to {MAX_STOP_BYTES} bytes")));
    }
    Ok(SequenceOptions {
        sampling,
        max_tokens,
        stop,
        ignore_end,
        top_logprobs: top_logprobs as usize,
        grammar: None,
        prompt_lookup: true,
    })
}

/// How tokens are drawn, nothing left open.
pub(crate) fn settled_sampling(options: &SequenceOptions) -> v1::Sampling {
    let Sampling { temperature, top_k, top_p, min_p, repetition_penalty, seed } = options.sampling;
    v1::Sampling {
        max_tokens: Some(wire(options.max_tokens)),
        temperature: Some(temperature),
        top_k: Some(wire(top_k)),
        top_p: Some(top_p),
        min_p: Some(min_p),
        repetition_penalty: Some(repetition_penalty),
        seed: Some(seed),
        stop: options.stop.clone(),
    }
}

impl Part {
    /// Its text.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Quoted { text, .. } => text,
        }
    }
}

impl TryFrom<v1::PromptPart> for Part {
    type Error = NodeError;

    fn try_from(part: v1::PromptPart) -> Result<Self, NodeError> {
        match part.content {
            Some(prompt_part::Content::Text(text)) => Ok(Self::Text(text)),
            Some(prompt_part::Content::Quoted(v1::QuotedText { text, max_tokens, more })) => {
                Ok(Self::Quoted { text, allotment: (max_tokens > 0).then_some(max_tokens as usize), more })
            }
            None => Err(NodeError::invalid("part", "a part is either text or quoted")),
        }
    }
}

/// An engine event as the responses it makes: text held back to the end travels before `Finished`.
/// `spell` gives the bytes of a token.
pub(crate) fn responses(event: Event, spell: impl Fn(u32) -> Vec<u8>) -> Vec<GenerateResponse> {
    match event {
        Event::Token(token) => vec![response(generate_response::Event::Delta(token_delta(token, spell)))],
        Event::Finished(mut finished) => {
            let text = std::mem::take(&mut finished.text);
            let tail = (!text.is_empty()).then(|| TokenDelta { text, tokens: Vec::new() });
            let tail = tail.map(generate_response::Event::Delta);
            tail.into_iter().chain([generate_response::Event::Finished(finished.into_wire())]).map(response).collect()
        }
    }
}

pub(crate) fn response(event: generate_response::Event) -> GenerateResponse {
    GenerateResponse { event: Some(event) }
}

fn token_delta(token: TokenEvent, spell: impl Fn(u32) -> Vec<u8>) -> TokenDelta {
    let TokenEvent { id, text, logprob, top } = token;
    let bytes = if top.is_empty() { Vec::new() } else { spell(id) };
    let top = top.into_iter().map(|(id, logprob)| Alternative { id, logprob, bytes: spell(id) }).collect();
    TokenDelta { text, tokens: vec![TokenLogprob { id, logprob, top, bytes }] }
}

/// Both types are others' crates', which `From` does not bridge.
trait IntoWire {
    type Wire;
    fn into_wire(self) -> Self::Wire;
}

impl IntoWire for Finished {
    type Wire = GenerateFinished;

    fn into_wire(self) -> GenerateFinished {
        let reason = match self.reason {
            FinishReason::Stop => v1::FinishReason::Stop,
            FinishReason::Length => v1::FinishReason::Length,
        };
        let usage = Usage {
            prompt_tokens: wire(self.prompt_tokens),
            completion_tokens: wire(self.completion_tokens),
            cached_prompt_tokens: wire(self.cached_prompt_tokens),
        };
        let millis = |time: std::time::Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        let timings = GenerateTimings {
            queue_ms: millis(self.queued),
            prefill_ms: millis(self.prefill),
            decode_ms: millis(self.decode),
        };
        GenerateFinished {
            finish_reason: reason.into(),
            usage: Some(usage),
            timings: Some(timings),
            mean_logprob: self.mean_logprob,
        }
    }
}

#[cfg(test)]
mod tests;
