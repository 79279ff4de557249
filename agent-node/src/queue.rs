//! A bounded queue before a bounded number of threads.

use std::sync::Arc;

use synod_models::engine::EngineLoad;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::status::NodeError;

/// Places of requests that run or wait.
#[derive(Debug, Clone)]
pub(crate) struct RequestQueue {
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

impl RequestQueue {
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
            NodeError::RequestQueueFull { running, queued }
        };
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(full)?;
        let closed = |_| NodeError::TaskFailed("a request waited");
        let thread = Arc::clone(&self.threads).acquire_owned().await.map_err(closed)?;
        Ok(Turn { _place: place, _thread: thread })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn requests_wait_for_a_thread_and_are_refused_past_the_queue() {
        let queue = RequestQueue::new(1, 1);
        let first = queue.turn().await.unwrap();
        assert_eq!(queue.busy(), EngineLoad { running: 1, queued: 0 });
        let second = queue.turn();
        tokio::pin!(second);
        assert!(timeout(Duration::from_secs(1), &mut second).await.is_err(), "the one thread is taken");
        assert_eq!(queue.busy(), EngineLoad { running: 1, queued: 1 });
        let refused = queue.turn().await.unwrap_err();
        assert!(matches!(refused, NodeError::RequestQueueFull { running: 1, queued: 1 }), "{refused}");
        drop(first);
        let second = second.await.unwrap();
        assert_eq!(queue.busy(), EngineLoad { running: 1, queued: 0 });
        drop(second);
        assert_eq!(queue.busy(), EngineLoad::default());
    }
}
