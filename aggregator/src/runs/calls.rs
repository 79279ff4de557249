//! Seats that call documented APIs: those that propose a call as their draft, and what nodes are asked for them.

use tokio::time::Instant;

use super::{context::Context, events::At, watcher::Watcher};
use crate::{
    members::{Answered, ApiRequest, Lost, Proposed, Usage, Watch, proposed},
    stages::FinishReason,
    topology::Member,
};

/// What a member does with the call that it writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// It is a draft like any other.
    Proposer,
    /// It is a vote on what another member does.
    Adviser,
    /// It is made, unless the advisers outvote it.
    Actor,
}

impl Part {
    /// What the member is told of it.
    fn told(self) -> Option<&'static str> {
        match self {
            Self::Proposer => None,
            Self::Adviser => {
                Some("You advise: your call is counted with those of others, and another member makes it, once.")
            }
            Self::Actor => {
                Some("You make the call for all: your choice is counted with those of advisers, and made once.")
            }
        }
    }
}

/// What came of looking for an API.
pub(super) enum Found {
    /// One fits: the draft is its call, or what is missing for one.
    Api(Answered),
    /// None fits, which cost this: the member answers in words.
    Nothing(Usage),
}

/// Has a node look through the member's catalogues for what the question asks for.
pub(super) async fn find(
    context: &Context<'_>,
    member: &Member,
    watcher: &Watcher<'_>,
    deadline: Instant,
) -> Result<Found, Lost> {
    let part = if context.acts { Part::Adviser } else { Part::Proposer };
    let request = request(context, member, watcher.at, deadline, part);
    let mut proposed = proposed(context.nodes, &request, &context.policy, watcher).await?;
    match proposed.text.take() {
        Some(text) => Ok(Found::Api(written(text, proposed, watcher))),
        None => Ok(Found::Nothing(proposed.usage)),
    }
}

/// What a node did for a seat, as the seat's text: all of it comes at once.
pub(super) fn written(text: String, proposed: Proposed, watcher: &Watcher<'_>) -> Answered {
    let Proposed { advice, usage, confidence, took, .. } = proposed;
    watcher.accepted(usage.prompt_tokens, &[]);
    watcher.delta(&text, usage.completion_tokens);
    Answered {
        text,
        finish_reason: FinishReason::Stop,
        usage,
        mean_logprob: confidence.max(f64::MIN_POSITIVE).ln(),
        margin: None,
        first_token: took,
        total: took,
        advice: Some(advice),
    }
}

/// What a node is asked for a member: to write a call, and no more than that.
pub(super) fn request(context: &Context<'_>, member: &Member, at: At, deadline: Instant, part: Part) -> ApiRequest {
    let system = part.told().map(|text| ("system".to_owned(), text.to_owned()));
    let turns = context.material.conversation.messages().into_iter().filter(|(role, _)| role != "system");
    ApiRequest {
        model: member.author.name().to_owned(),
        messages: system.into_iter().chain(turns).collect(),
        catalogues: member.apis.clone(),
        run_id: context.log.run_id().to_owned(),
        at,
        deadline,
        record: false,
        advice: Vec::new(),
        execute: false,
    }
}
