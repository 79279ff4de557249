//! `synthesize`: what the last member is told, and which draft stands in where it cannot answer.

use super::{Candidate, FinishReason, Material, Prompt, role, shuffled};
use crate::{
    prompts::{Filling, Part, PromptError, Template},
    topology::{Placement, Sampling, Synthesize},
};

/// What the synthesiser is told. Without drafts it answers the question alone.
pub(crate) fn prompt(
    stage: usize,
    synthesize: &Synthesize,
    drafts: &[Candidate],
    material: Material<'_>,
) -> Result<Prompt, PromptError> {
    let order = shuffled(drafts, material.seed, stage);
    let texts: Vec<&str> = order.iter().map(|draft| draft.text.as_str()).collect();
    let question = material.conversation.question.as_str();
    let member = &synthesize.member;
    if synthesize.placement == Placement::System && !drafts.is_empty() {
        let system = material.system(member)?;
        let filling = Filling { system: &system, question, role: role(member), drafts: &texts };
        let system = material.prompts.system_with_drafts(filling)?;
        let parts = vec![Part::Text(question.to_owned())];
        return Ok(Prompt { messages: material.messages(system), parts, quoted: Vec::new() });
    }
    let filling = Filling { system: "", question, role: role(member), drafts: &texts };
    Ok(Prompt {
        messages: material.messages(material.system(member)?),
        parts: material.prompts.parts(Template::Synthesize, filling)?,
        quoted: order.iter().map(|draft| (draft.stage, draft.seat)).collect(),
    })
}

/// How the synthesiser draws: its own values under the request's.
pub(crate) fn sampling(stage: usize, synthesize: &Synthesize, material: Material<'_>) -> Sampling {
    let own = &synthesize.member.sampling;
    let seed = material.seed_of(stage, 0, own.seed);
    own.overridden_by(&Sampling { seed: Some(seed), ..material.overrides.clone() })
}

/// The draft that stands in for an answer: complete before cut off, the synthesiser's own model before others (the
/// topology's author trusts it most), then the one whose author was surest.
pub(crate) fn best<'d>(drafts: &'d [Candidate], synthesiser: &str) -> Option<&'d Candidate> {
    let rank = |draft: &Candidate| (draft.finish_reason == FinishReason::Stop, draft.model == synthesiser);
    // The first of equals wins, so that the choice does not hang on the order of arrival.
    drafts.iter().rev().max_by(|a, b| rank(a).cmp(&rank(b)).then(a.mean_logprob.total_cmp(&b.mean_logprob)))
}
