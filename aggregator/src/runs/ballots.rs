//! Short calls that decide: a judge asked about drafts under a grammar that lets it only decide.

use regex::Regex;

use super::{context::Context, events::At, watcher::Watcher};
use crate::{
    members::{Answered, Call, Grammar, Parts, answer},
    metrics::Loss,
    prompts::{Filling, Message, Part, PromptError, Template},
    stages::{Candidate, FinishReason, role},
    topology::{MaxTokens, Member, Sampling, Temperature},
};

/// The most tokens of a decision.
const DECISION_TOKENS: u32 = 64;

/// Asks `member` about drafts in this order; what it says matches `regex`. A loss is told, and costs only this call.
pub(super) async fn ask(
    context: &Context<'_>,
    at: At,
    member: &Member,
    template: Template,
    order: &[&Candidate],
    keep: usize,
    regex: String,
) -> Option<String> {
    let prompt = prompt(context, member, template, order, keep).inspect_err(|error| {
        context.log.degrade(format!("stage {} could not write its prompt: {error}", at.stage));
    });
    let (messages, parts) = prompt.ok()?;
    let sampling = decisive(context, at, member);
    let call = context.call(at, member, messages, Parts::whole(parts), sampling);
    let call = Call { grammar: Some(Grammar::Regex(regex.clone())), ignore_end: false, ..call };
    let metrics = &context.shared.metrics;
    let watcher = Watcher { log: context.log, metrics, at, member, is_answer: false, feed: None };
    let model = member.author.name();
    match answer(context.nodes, &call, &context.policy, &watcher).await {
        Ok(answered) if !decides(&answered, &regex) => {
            context.lose(at, model, Loss::Unusable, "what it said is none of what it could".to_owned());
            None
        }
        Ok(answered) => {
            let text = answered.text.clone();
            context.finish(at, model, answered);
            Some(text)
        }
        Err(lost) => {
            context.lose_failed(at, model, lost);
            None
        }
    }
}

/// Whether a node kept to the grammar: one that lies need not. A ballot that was cut off counts as far as it goes.
fn decides(answered: &Answered, regex: &str) -> bool {
    let whole = Regex::new(&format!("^(?:{regex})$"));
    answered.finish_reason == FinishReason::Length || whole.is_ok_and(|whole| whole.is_match(answered.text.trim()))
}

fn prompt(
    context: &Context<'_>,
    member: &Member,
    template: Template,
    order: &[&Candidate],
    keep: usize,
) -> Result<(Vec<Message>, Vec<Part>), PromptError> {
    let material = context.material;
    let texts: Vec<&str> = order.iter().map(|draft| draft.text.as_str()).collect();
    let question = &material.conversation.question;
    let filling = Filling { system: "", question, role: role(member), drafts: &texts, keep };
    Ok((material.messages(material.system(member)?), material.prompts.parts(template, filling)?))
}

/// Greedy unless the topology says otherwise, and short.
fn decisive(context: &Context<'_>, at: At, member: &Member) -> Sampling {
    let greedy = Sampling {
        temperature: Temperature::try_new(0.0).ok(),
        max_tokens: MaxTokens::try_new(DECISION_TOKENS).ok(),
        ..Sampling::default()
    };
    let seed = Some(context.material.seed_of(at.stage, at.seat, member.sampling.seed));
    Sampling { seed, ..greedy.overridden_by(&member.sampling) }
}
