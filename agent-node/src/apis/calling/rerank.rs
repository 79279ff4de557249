//! What a search found, in the order that a model gives it.

use synod_models::{engine::Engine, text::ChatMessage};
use tokio_util::sync::CancellationToken;

use super::{CallError, CallOptions, account::Account, candidates, choose::judge};
use crate::apis::Hit;

/// Documents that a model judges for each one that is wanted: the right one may be further down.
const WIDTH: usize = 4;
/// The most documents that it judges.
const MAX_JUDGED: usize = 64;

/// How many documents to find where `k` are wanted in a model's order.
#[must_use]
pub fn width(k: usize) -> usize {
    k.saturating_mul(WIDTH).min(MAX_JUDGED).max(k)
}

/// Orders documents by how surely each is meant for the request, judged by itself from logits, as before a call; the order
/// that they come in counts as well. Scores become probabilities. Blocks.
///
/// # Errors
/// When the model cannot be asked.
pub fn rerank(
    engine: &Engine,
    request: &str,
    hits: Vec<Hit>,
    abandoned: &CancellationToken,
) -> Result<Vec<Hit>, CallError> {
    let conversation = [ChatMessage { role: "user".to_owned(), content: request.to_owned() }];
    let options = CallOptions { required: true, abandoned: abandoned.clone(), ..CallOptions::standard() };
    let judged = judge(engine, &conversation, &candidates(&hits), &options, &mut Account::new(false))?;
    let weighed = hits.into_iter().zip(judged);
    let mut ranked: Vec<Hit> = weighed.map(|(hit, judged)| Hit { score: judged.probability as f32, ..hit }).collect();
    ranked.sort_by(|a, b| b.score.total_cmp(&a.score));
    Ok(ranked)
}
