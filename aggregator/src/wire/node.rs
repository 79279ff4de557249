//! Calls to nodes and what they say.

use synod_proto::v1::{
    self, GenerateRequest, GenerateResponse, GenerateStart, PromptPart, QuotedText, generate_request,
    generate_response, prompt_part,
};

use crate::{
    members::{Call, Cut, MemberEvent},
    prompts::{Message, Part},
    topology::Sampling,
};

/// The messages that open a call and give it its prompt.
pub(crate) fn generate_requests(call: &Call) -> Vec<GenerateRequest> {
    let start = GenerateStart {
        grammar: None,
        model: call.model.clone(),
        messages: call.messages.iter().map(v1::Message::from).collect(),
        sampling: Some(v1::Sampling::from(&call.sampling)),
        run_id: call.run_id.clone(),
        ignore_end: false,
        top_logprobs: 0,
    };
    let parts = call.parts.iter().map(|part| generate_request::Message::Part(part.into()));
    let messages = std::iter::once(generate_request::Message::Start(start)).chain(parts);
    messages.map(|message| GenerateRequest { message: Some(message) }).collect()
}

/// What a node said; `None` for what we don't know yet.
pub(crate) fn member_event(response: GenerateResponse) -> Option<MemberEvent> {
    Some(match response.event? {
        generate_response::Event::Accepted(accepted) => MemberEvent::Accepted {
            prompt_tokens: accepted.prompt_tokens,
            cuts: accepted.cuts.into_iter().map(Cut::from).collect(),
        },
        generate_response::Event::Delta(delta) => {
            MemberEvent::Delta { tokens: super::small(delta.tokens.len()), text: delta.text }
        }
        generate_response::Event::Finished(finished) => MemberEvent::Finished {
            finish_reason: finished.finish_reason().into(),
            usage: finished.usage.unwrap_or_default().into(),
            mean_logprob: finished.mean_logprob,
        },
    })
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
            Part::Quoted { text, max_tokens } => {
                prompt_part::Content::Quoted(QuotedText { text: text.clone(), max_tokens: *max_tokens })
            }
        };
        Self { content: Some(content) }
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

impl From<v1::QuotedCut> for Cut {
    fn from(cut: v1::QuotedCut) -> Self {
        let quoted_index = usize::try_from(cut.quoted_index).unwrap_or(usize::MAX);
        Self { quoted_index, tokens_kept: cut.tokens_kept, tokens_cut: cut.tokens_cut }
    }
}
