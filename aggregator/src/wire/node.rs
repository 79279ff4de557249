//! Calls to nodes and what they say.

use synod_proto::v1::{
    self, GenerateRequest, GenerateResponse, GenerateStart, PromptPart, QuotedText, generate_request,
    generate_response, grammar::Kind, prompt_part,
};

use crate::{
    error::Error,
    members::{Call, Cut, Given, Grammar, MemberEvent, TokenLogprob},
    prompts::{Message, Part},
    records::{Piece, Prompt, Stretch, Times},
    topology::Sampling,
};

/// The message that opens a call.
pub(crate) fn start(call: &Call) -> GenerateRequest {
    let start = GenerateStart {
        model: call.model.clone(),
        messages: call.messages.iter().map(v1::Message::from).collect(),
        sampling: Some(v1::Sampling::from(&call.sampling)),
        run_id: call.run_id.clone(),
        ignore_end: call.ignore_end,
        top_logprobs: call.top_logprobs,
        grammar: call.grammar.as_ref().map(v1::Grammar::from),
        quoted_parts: super::small(call.quoted_parts),
        record: call.record,
    };
    GenerateRequest { message: Some(generate_request::Message::Start(start)) }
}

/// The message that gives it the next part of its prompt.
pub(crate) fn part(part: &Part) -> GenerateRequest {
    GenerateRequest { message: Some(generate_request::Message::Part(part.into())) }
}

/// How far a call's tokens were from their alternatives, so far.
#[derive(Debug, Default)]
pub(crate) struct Margins {
    sum: f64,
    tokens: u32,
}

impl Margins {
    fn take(&mut self, tokens: &[v1::TokenLogprob]) {
        for token in tokens {
            if let Some(next) =
                token.top.iter().filter(|other| other.id != token.id).map(|other| other.logprob).reduce(f32::max)
            {
                self.sum += f64::from(token.logprob - next);
                self.tokens += 1;
            }
        }
    }

    fn mean(&self) -> Option<f64> {
        (self.tokens > 0).then(|| self.sum / f64::from(self.tokens))
    }
}

/// What a node said; `None` for what we don't know yet.
pub(crate) fn member_event(response: GenerateResponse, margins: &mut Margins) -> Option<MemberEvent> {
    Some(match response.event? {
        generate_response::Event::Accepted(accepted) => MemberEvent::Accepted {
            prompt_tokens: accepted.prompt_tokens,
            cuts: accepted.cuts.into_iter().map(Cut::from).collect(),
            given: accepted.record.map(|record| Box::new(record.into())),
        },
        generate_response::Event::Delta(delta) => {
            margins.take(&delta.tokens);
            let tokens = super::small(delta.tokens.len());
            let written = delta.tokens.iter().map(|token| (token.id, token.logprob)).collect();
            // Margins are weighed without the tokens' bytes, which nobody reads then.
            let spelled = delta.tokens.into_iter().filter(|token| !token.bytes.is_empty());
            let logprobs = spelled.map(TokenLogprob::from).collect();
            MemberEvent::Delta { tokens, text: delta.text, written, logprobs }
        }
        generate_response::Event::Finished(finished) => MemberEvent::Finished {
            finish_reason: finished.finish_reason().into(),
            usage: finished.usage.unwrap_or_default().into(),
            mean_logprob: finished.mean_logprob,
            margin: margins.mean(),
            spent: finished.timings.map(Times::from).unwrap_or_default(),
        },
    })
}

impl From<v1::PromptRecord> for Given {
    fn from(record: v1::PromptRecord) -> Self {
        let v1::PromptRecord { stretches, model_sha256, template_sha256, build, sampling } = record;
        let piece = |piece: v1::PromptPiece| Piece { text: piece.text, control: piece.control };
        let stretch = |stretch: v1::PromptStretch| Stretch {
            pieces: stretch.pieces.into_iter().map(piece).collect(),
            tokens: stretch.tokens,
            tokens_cut: stretch.tokens_cut,
        };
        let stretches = stretches.into_iter().map(stretch).collect();
        // A node that says something impossible says nothing.
        let sampling = sampling.unwrap_or_default().try_into().unwrap_or_default();
        Self { prompt: Prompt { model_sha256, template_sha256, build, stretches }, sampling }
    }
}

impl From<v1::GenerateTimings> for Times {
    fn from(timings: v1::GenerateTimings) -> Self {
        let v1::GenerateTimings { queue_ms, prefill_ms, decode_ms } = timings;
        let (queue_ms, prefill_ms, decode_ms) = (Some(queue_ms), Some(prefill_ms), Some(decode_ms));
        Self { queue_ms, prefill_ms, decode_ms, ..Self::default() }
    }
}

impl From<&Message> for v1::Message {
    fn from(message: &Message) -> Self {
        Self { role: message.speaker.name().to_owned(), content: message.content.clone() }
    }
}

impl From<&Part> for PromptPart {
    fn from(part: &Part) -> Self {
        let content = match part {
            Part::Text(text) => prompt_part::Content::Text(text.clone()),
            Part::Quoted { text, max_tokens, more } => {
                prompt_part::Content::Quoted(QuotedText { text: text.clone(), max_tokens: *max_tokens, more: *more })
            }
        };
        Self { content: Some(content) }
    }
}

impl From<&Grammar> for v1::Grammar {
    fn from(grammar: &Grammar) -> Self {
        let kind = match grammar {
            Grammar::Regex(source) => Kind::Regex(source.clone()),
            Grammar::JsonSchema(source) => Kind::JsonSchema(source.clone()),
            Grammar::JsonObject => Kind::JsonObject(v1::grammar::JsonObject {}),
            Grammar::Lark(source) => Kind::Lark(source.clone()),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<v1::Grammar> for Grammar {
    type Error = Error;

    fn try_from(grammar: v1::Grammar) -> Result<Self, Error> {
        match grammar.kind {
            Some(Kind::Regex(source)) => Ok(Self::Regex(source)),
            Some(Kind::JsonSchema(source)) => Ok(Self::JsonSchema(source)),
            Some(Kind::JsonObject(_)) => Ok(Self::JsonObject),
            Some(Kind::Lark(source)) => Ok(Self::Lark(source)),
            None => Err(Error::invalid("the grammar is empty: leave it out for free text")),
        }
    }
}

impl From<&Sampling> for v1::Sampling {
    fn from(sampling: &Sampling) -> Self {
        Self {
            max_tokens: sampling.max_tokens.map(|value| value.get()),
            temperature: sampling.temperature.map(|value| value.get()),
            top_k: sampling.top_k.map(|value| value.get()),
            top_p: sampling.top_p.map(|value| value.get()),
            min_p: sampling.min_p.map(|value| value.get()),
            repetition_penalty: sampling.repetition_penalty.map(|value| value.get()),
            seed: sampling.seed,
            stop: sampling.stop.clone(),
        }
    }
}

impl From<v1::TokenLogprob> for TokenLogprob {
    fn from(token: v1::TokenLogprob) -> Self {
        let top = token.top.into_iter().map(|other| (other.bytes, other.logprob)).collect();
        Self { bytes: token.bytes, logprob: token.logprob, top }
    }
}

impl From<v1::QuotedCut> for Cut {
    fn from(cut: v1::QuotedCut) -> Self {
        let quoted_index = usize::try_from(cut.quoted_index).unwrap_or(usize::MAX);
        Self { quoted_index, tokens_kept: cut.tokens_kept, tokens_cut: cut.tokens_cut }
    }
}
