//! Embedding requests: a bounded queue before a bounded number of threads.

use std::sync::Arc;

use synod_models::{embed::Embedding, engine::EngineLoad};
use synod_proto::v1;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::{
    host::{Encoder, wire},
    service::ServiceLimits,
    status::NodeError,
};

/// Places of requests that run or wait.
#[derive(Debug, Clone)]
pub(crate) struct EmbedQueue {
    /// One permit a request, running or waiting.
    places: Arc<Semaphore>,
    /// One permit a running request.
    threads: Arc<Semaphore>,
    max_running: usize,
    max_queued: usize,
}

/// A request that may run. Held by the thread that does the work, which ends a batch after its caller has gone: the place
/// is not free before that.
#[derive(Debug)]
pub(crate) struct Turn {
    _place: OwnedSemaphorePermit,
    _thread: OwnedSemaphorePermit,
}

impl EmbedQueue {
    pub(crate) fn new(max_running: usize, max_queued: usize) -> Self {
        let max_running = max_running.clamp(1, 1024);
        let max_queued = max_queued.min(65_536);
        let places = Arc::new(Semaphore::new(max_running + max_queued));
        Self { places, threads: Arc::new(Semaphore::new(max_running)), max_running, max_queued }
    }

    pub(crate) fn max_running(&self) -> usize {
        self.max_running
    }

    pub(crate) fn max_queued(&self) -> usize {
        self.max_queued
    }

    pub(crate) fn busy(&self) -> EngineLoad {
        let all = self.max_running + self.max_queued - self.places.available_permits();
        let running = (self.max_running - self.threads.available_permits()).min(all);
        EngineLoad { running, queued: all - running }
    }

    /// Waits for a turn; refused at once when too many wait already.
    pub(crate) async fn turn(&self) -> Result<Turn, NodeError> {
        let full = |_| {
            let EngineLoad { running, queued } = self.busy();
            NodeError::EmbedQueueFull { running, queued }
        };
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(full)?;
        let closed = |_| NodeError::TaskFailed("an embedding request waited");
        let thread = Arc::clone(&self.threads).acquire_owned().await.map_err(closed)?;
        Ok(Turn { _place: place, _thread: thread })
    }
}

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
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn requests_wait_for_a_thread_and_are_refused_past_the_queue() {
        let queue = EmbedQueue::new(1, 1);
        let first = queue.turn().await.unwrap();
        assert_eq!(queue.busy(), EngineLoad { running: 1, queued: 0 });
        let second = queue.turn();
        tokio::pin!(second);
        assert!(timeout(Duration::from_secs(1), &mut second).await.is_err(), "the one thread is taken");
        assert_eq!(queue.busy(), EngineLoad { running: 1, queued: 1 });
        let refused = queue.turn().await.unwrap_err();
        assert!(matches!(refused, NodeError::EmbedQueueFull { running: 1, queued: 1 }), "{refused}");
        drop(first);
        let second = second.await.unwrap();
        assert_eq!(queue.busy(), EngineLoad { running: 1, queued: 0 });
        drop(second);
        assert_eq!(queue.busy(), EngineLoad::default());
    }

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
