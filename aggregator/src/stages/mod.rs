//! What each kind of stage decides, without a network or a clock of its own: who sits, what each is told, when enough
//! have answered, which draft counts. One file a kind, and one for each thing that kinds share.

pub(crate) mod answers;
pub(crate) mod budget;
pub(crate) mod changes;
pub(crate) mod diverse;
pub(crate) mod judge;
pub(crate) mod propose;
pub(crate) mod seed;
pub(crate) mod synthesize;
#[cfg(test)]
mod tests;
pub(crate) mod usable;

use crate::{
    members::{Advised, Answered, Usage},
    prompts::{Conversation, Message, Part, PromptError, Prompts, Speaker},
    topology::{Measure, Member, Sampling, Sees},
};

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// The model ended its turn.
    Stop,
    /// It ran out of tokens.
    Length,
    /// It was stopped from outside.
    Cancelled,
}

impl FinishReason {
    /// The name that records, spans and clients have for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::Cancelled => "cancelled",
        }
    }
}

/// One written answer, with its author.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The stage it was written in, from 0.
    pub stage: usize,
    /// The seat within the stage, from 0.
    pub seat: usize,
    /// Its author.
    pub model: String,
    /// What it says.
    pub text: String,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// How sure its author was of its words.
    pub mean_logprob: f64,
    /// How far its words were from the next likeliest ones, in log-probability; where that was asked for.
    pub margin: Option<f64>,
    /// What it cost.
    pub usage: Usage,
    /// What its author would call, where it was asked for a call of an API.
    pub advice: Option<Advised>,
}

/// What a member is given.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Prompt {
    /// The conversation; `parts` are the content of its last message.
    pub(crate) messages: Vec<Message>,
    pub(crate) parts: Vec<Part>,
    /// The candidate that each quoted part is, in order: what the node cuts is told about it.
    pub(crate) quoted: Vec<(usize, usize)>,
}

/// What all prompts of a run are made of.
#[derive(Clone, Copy)]
pub(crate) struct Material<'r> {
    pub(crate) prompts: &'r Prompts,
    pub(crate) conversation: &'r Conversation,
    /// What the request sets in place of a member's own.
    pub(crate) overrides: &'r Sampling,
    pub(crate) seed: u64,
    /// Whether the request named the seed: it then holds for members that have one of their own, too.
    pub(crate) seed_is_asked: bool,
}

impl Material<'_> {
    /// The seed of a seat; `own` is what the topology fixed for it.
    pub(crate) fn seed_of(&self, stage: usize, seat: usize, own: Option<u64>) -> u64 {
        own.filter(|_| !self.seed_is_asked).unwrap_or_else(|| seed::derive(self.seed, stage, seat))
    }

    /// The system text of a member: its own, else the user's, else the built-in one.
    pub(crate) fn system(&self, member: &Member) -> Result<String, PromptError> {
        self.prompts.system(member.system.as_deref().unwrap_or(&self.conversation.system))
    }

    /// A conversation whose last message is still to be filled by parts.
    pub(crate) fn messages(&self, system: String) -> Vec<Message> {
        let system = Some(system).filter(|text| !text.trim().is_empty());
        let system = system.map(|content| Message { speaker: Speaker::System, content });
        let last = Message { speaker: Speaker::User, content: String::new() };
        system.into_iter().chain(self.conversation.turns.iter().cloned()).chain([last]).collect()
    }
}

impl Candidate {
    /// What a seat answered; `text` is what of it is usable.
    pub(crate) fn of(stage: usize, seat: usize, model: &str, text: String, answered: &Answered) -> Self {
        Self {
            stage,
            seat,
            model: model.to_owned(),
            text,
            finish_reason: answered.finish_reason,
            mean_logprob: answered.mean_logprob,
            margin: answered.margin,
            usage: answered.usage,
            advice: answered.advice.clone(),
        }
    }

    /// How sure its author was.
    pub(crate) fn confidence(&self, measure: Measure) -> f64 {
        match measure {
            Measure::MeanLogprob => self.mean_logprob.exp(),
            Measure::Margin => self.margin.unwrap_or(0.0),
        }
    }
}

/// What a stage shows of drafts, in their order: each with its place among them.
pub(crate) fn shown<'d>(order: &[&'d Candidate], sees: Sees) -> Vec<(&'d Candidate, String)> {
    let texts: Vec<&str> = order.iter().map(|draft| draft.text.as_str()).collect();
    match sees {
        Sees::Drafts => order.iter().map(|draft| (*draft, draft.text.clone())).collect(),
        Sees::Changes => changes::changes(&texts).into_iter().map(|(index, text)| (order[index], text)).collect(),
        Sees::Nothing => Vec::new(),
    }
}

/// Drafts in the order that a stage shows them: by a key of their own from the run's seed, so that the loss of one
/// leaves the order of the others as it was.
pub(crate) fn shuffled(drafts: &[Candidate], seed: u64, stage: usize) -> Vec<&Candidate> {
    let mut order: Vec<&Candidate> = drafts.iter().collect();
    order.sort_by_key(|draft| place(draft.stage, draft.seat, seed, stage));
    order
}

/// What the drafts of seats are sorted by where stage `stage` shows them.
pub(crate) fn place(of_stage: usize, seat: usize, seed: u64, stage: usize) -> impl Ord + use<> {
    (seed::derive(seed::derive(seed, stage, seed::SHUFFLE), of_stage, seat), of_stage, seat)
}

/// What a member is told of its part; empty for none.
pub(crate) fn role(member: &Member) -> &str {
    member.role.as_ref().map(|role| role.instructions.as_str()).unwrap_or_default()
}
