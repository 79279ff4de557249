//! Embedding requests.

use std::sync::Arc;

use synod_models::embed::Embedding;
use synod_proto::v1;
use tokio_util::sync::CancellationToken;

use crate::{
    host::{Encoder, wire},
    service::ServiceLimits,
    status::NodeError,
};

/// Checks the texts, waits for a turn and embeds them on a thread of its own.
pub(crate) async fn embed(
    encoder: &Encoder,
    texts: Vec<String>,
    limits: &ServiceLimits,
) -> Result<v1::EmbedResponse, NodeError> {
    check(&texts, limits)?;
    let turn = encoder.queue.turn().await?;
    let embedder = Arc::clone(&encoder.embedder);
    let gone = CancellationToken::new();
    // Dropped with this future: when the caller leaves, at the deadline, at the node's end.
    let _wanted = gone.clone().drop_guard();
    let work = tokio::task::spawn_blocking(move || {
        let result = embedder.embed_while(&texts, || !gone.is_cancelled());
        drop(turn);
        result
    });
    let embeddings = work.await.map_err(|_| NodeError::TaskFailed("it embedded texts"))??;
    Ok(response(embeddings))
}

fn check(texts: &[String], limits: &ServiceLimits) -> Result<(), NodeError> {
    let invalid = |reason: String| Err(NodeError::invalid("texts", reason));
    if texts.is_empty() {
        return invalid("name one text at least".to_owned());
    }
    if texts.len() > limits.max_embed_texts {
        return invalid(format!(
            "{} are too many for one request: send at most {}",
            texts.len(),
            limits.max_embed_texts
        ));
    }
    let bytes: usize = texts.iter().map(String::len).sum();
    if bytes > limits.max_prompt_bytes {
        return invalid(format!(
            "{bytes} bytes are too many for one request: send at most {}",
            limits.max_prompt_bytes
        ));
    }
    Ok(())
}

fn response(embeddings: Vec<Embedding>) -> v1::EmbedResponse {
    let prompt_tokens = wire(embeddings.iter().map(|embedding| embedding.tokens).sum());
    let cut = embeddings.iter().enumerate().filter(|(_, embedding)| embedding.truncated);
    let truncated = cut.map(|(index, _)| wire(index)).collect();
    let embeddings = embeddings.into_iter().map(|embedding| v1::Embedding { values: embedding.values }).collect();
    v1::EmbedResponse { embeddings, prompt_tokens, truncated }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncated_texts_are_named() {
        let embedding = |tokens, truncated| Embedding { values: vec![1.0], tokens, truncated };
        let response = response(vec![embedding(256, true), embedding(3, false), embedding(256, true)]);
        assert_eq!((response.prompt_tokens, response.truncated), (515, vec![0, 2]));
    }

    #[test]
    fn texts_are_counted_and_measured() {
        let limits = ServiceLimits { max_embed_texts: 2, max_prompt_bytes: 8, ..ServiceLimits::recommended() };
        let check = |texts: &[&str]| check(&texts.iter().map(ToString::to_string).collect::<Vec<_>>(), &limits);
        assert!(check(&["four", "five"]).is_ok());
        assert!(check(&[""]).is_ok());
        for texts in [&[][..], &["a", "b", "c"], &["four", "fives"]] {
            assert!(matches!(check(texts), Err(NodeError::Invalid { field: "texts", .. })), "{texts:?}");
        }
    }
}
