//! `synthesize`: what the last member is told, and which draft stands in where it cannot answer.

use super::{Candidate, FinishReason, Material, Prompt, role, shown};
use crate::{
    prompts::{Filling, Message, Part, PromptError, Template},
    topology::{Placement, Sampling, Sees, Synthesize},
};

/// What the synthesiser is told, with the drafts in this order. Without drafts it answers the question alone.
pub(crate) fn prompt(
    synthesize: &Synthesize,
    order: &[&Candidate],
    material: Material<'_>,
) -> Result<Prompt, PromptError> {
    let shown = shown(order, synthesize.sees);
    let texts: Vec<&str> = shown.iter().map(|(_, text)| text.as_str()).collect();
    let question = material.conversation.question.as_str();
    let member = &synthesize.member;
    if synthesize.placement == Placement::System && !texts.is_empty() {
        let system = material.system(member)?;
        let filling = Filling { system: &system, question, role: role(member), drafts: &texts, keep: 1 };
        let system = material.prompts.system_with_drafts(filling)?;
        let parts = vec![Part::Text(question.to_owned())];
        return Ok(Prompt { messages: material.messages(system), parts, quoted: Vec::new() });
    }
    let filling = Filling { system: "", question, role: role(member), drafts: &texts, keep: 1 };
    Ok(Prompt {
        messages: material.messages(material.system(member)?),
        parts: material.prompts.parts(Template::Synthesize, filling)?,
        quoted: shown.iter().map(|(draft, _)| (draft.stage, draft.seat)).collect(),
    })
}

/// A synthesis prompt that is written before its drafts are: what stands around them, however many there will be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Script {
    pub(crate) messages: Vec<Message>,
    /// Before each draft, by its place.
    pub(crate) before: Vec<Vec<Part>>,
    /// After the last of so many drafts, from one on.
    pub(crate) after: Vec<Vec<Part>>,
}

/// The script for up to `most` drafts; `None` where the template's words depend on how many there are, or the drafts are
/// not parts of the last message.
pub(crate) fn script(
    synthesize: &Synthesize,
    most: usize,
    material: Material<'_>,
) -> Result<Option<Script>, PromptError> {
    let fits_a_window = synthesize.window.is_none_or(|window| most <= window);
    if synthesize.placement == Placement::System || synthesize.sees != Sees::Drafts || most == 0 || !fits_a_window {
        return Ok(None);
    }
    let numbers: Vec<String> = (0..most).map(|number| number.to_string()).collect();
    let mut script = Script {
        messages: material.messages(material.system(&synthesize.member)?),
        before: Vec::new(),
        after: Vec::new(),
    };
    for count in 1..=most {
        let drafts: Vec<&str> = numbers[..count].iter().map(String::as_str).collect();
        let question = material.conversation.question.as_str();
        let filling = Filling { system: "", question, role: role(&synthesize.member), drafts: &drafts, keep: 1 };
        let mut around = vec![Vec::new()];
        let mut next = drafts.iter();
        for part in material.prompts.parts(Template::Synthesize, filling)? {
            match part {
                Part::Quoted { text, .. } if next.next() == Some(&text.as_str()) => around.push(Vec::new()),
                Part::Quoted { .. } => return Ok(None),
                text => around.last_mut().into_iter().for_each(|parts| parts.push(text.clone())),
            }
        }
        let after = around.pop().unwrap_or_default();
        if next.next().is_some() || !around.starts_with(&script.before) {
            return Ok(None);
        }
        script.before = around;
        script.after.push(after);
    }
    Ok(Some(script))
}

/// How the synthesiser draws: its own values under the request's.
pub(crate) fn sampling(stage: usize, seat: usize, synthesize: &Synthesize, material: Material<'_>) -> Sampling {
    let own = &synthesize.member.sampling;
    let seed = material.seed_of(stage, seat, own.seed);
    own.overridden_by(&Sampling { seed: Some(seed), ..material.overrides.clone() })
}

/// The draft that stands in for an answer: complete before cut off, the synthesiser's own model before others (the
/// topology's author trusts it most), then the one whose author was surest.
pub(crate) fn best<'d>(drafts: &'d [Candidate], synthesiser: &str) -> Option<&'d Candidate> {
    let rank = |draft: &Candidate| (draft.finish_reason == FinishReason::Stop, draft.model == synthesiser);
    // The first of equals wins, so that the choice does not hang on the order of arrival.
    drafts.iter().rev().max_by(|a, b| rank(a).cmp(&rank(b)).then(a.mean_logprob.total_cmp(&b.mean_logprob)))
}
