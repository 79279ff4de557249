//! A seat that proposes a call of a documented API as its draft.

use tokio::time::Instant;

use super::{context::Context, watcher::Watcher};
use crate::{
    members::{Answered, ApiRequest, Lost, Proposed, Usage, Watch, proposed},
    stages::FinishReason,
    topology::Member,
};

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
    let system = |(role, _): &(String, String)| role != "system";
    let request = ApiRequest {
        model: member.author.name().to_owned(),
        messages: context.material.conversation.messages().into_iter().filter(system).collect(),
        catalogues: member.apis.clone(),
        run_id: context.log.run_id().to_owned(),
        at: watcher.at,
        deadline,
        record: false,
    };
    let Proposed { text, usage, confidence, took, .. } =
        proposed(context.nodes, &request, &context.policy, watcher).await?;
    let Some(text) = text else { return Ok(Found::Nothing(usage)) };
    watcher.accepted(usage.prompt_tokens, &[]);
    watcher.delta(&text, usage.completion_tokens);
    Ok(Found::Api(Answered {
        text,
        finish_reason: FinishReason::Stop,
        usage,
        mean_logprob: confidence.max(f64::MIN_POSITIVE).ln(),
        margin: None,
        first_token: took,
        total: took,
    }))
}
