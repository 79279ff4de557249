//! The end of a node's life: refuse what is new, let finish what runs, then end the rest.

use std::time::Duration;

use tokio_util::{
    sync::{CancellationToken, WaitForCancellationFutureOwned},
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

use crate::status::NodeError;

/// How long requests that were ended get to say so to their callers.
const GOODBYE: Duration = Duration::from_secs(1);

/// Counts running requests and ends them. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Drain {
    /// New requests are refused.
    draining: CancellationToken,
    /// Running requests end.
    killed: CancellationToken,
    requests: TaskTracker,
}

/// A running request. The node waits for it, within its grace, until it is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    killed: CancellationToken,
    _counted: TaskTrackerToken,
}

impl Running {
    /// A part of the request that goes on by itself, whatever becomes of the rest: it is waited for as well.
    pub(crate) fn again(&self) -> Self {
        Self { killed: self.killed.clone(), _counted: self._counted.task_tracker().token() }
    }

    /// Resolves when the grace is over.
    pub(crate) fn killed(&self) -> WaitForCancellationFutureOwned {
        self.killed.clone().cancelled_owned()
    }

    /// The future's result, unless the grace is over first.
    pub(crate) async fn bound<T>(&self, future: impl Future<Output = Result<T, NodeError>>) -> Result<T, NodeError> {
        tokio::select! {
            result = future => result,
            () = self.killed.cancelled() => Err(NodeError::Draining),
        }
    }
}

impl Drain {
    pub(crate) fn new() -> Self {
        Self { draining: CancellationToken::new(), killed: CancellationToken::new(), requests: TaskTracker::new() }
    }

    /// Lets a request run, unless the node is on its way out.
    pub(crate) fn admit(&self) -> Result<Running, NodeError> {
        // Counted before the question is asked: a request that is let in is always waited for.
        let running = Running { killed: self.killed.clone(), _counted: self.requests.token() };
        if self.draining.is_cancelled() { Err(NodeError::Draining) } else { Ok(running) }
    }

    /// Requests that run.
    pub(crate) fn running(&self) -> usize {
        self.requests.len()
    }

    /// From here on new requests are refused.
    pub(crate) fn refuse(&self) {
        self.draining.cancel();
    }

    /// Refuses new requests, waits for the running ones within `grace` and ends what is left.
    pub(crate) async fn finish(&self, grace: Duration) {
        self.refuse();
        self.requests.close();
        if tokio::time::timeout(grace, self.requests.wait()).await.is_err() {
            tracing::warn!(
                running = self.running(),
                grace_ms = grace.as_millis(),
                "ending requests that outlast the grace"
            );
            self.killed.cancel();
            // Callers that do not read keep theirs; the connections' end takes care of them.
            let _ = tokio::time::timeout(GOODBYE, self.requests.wait()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn running_requests_finish_and_new_ones_are_refused() {
        let drain = Drain::new();
        let running = drain.admit().unwrap();
        let work = async {
            sleep(Duration::from_secs(3)).await;
            assert!(matches!(drain.admit(), Err(NodeError::Draining)));
            drop(running);
        };
        let start = Instant::now();
        tokio::join!(drain.finish(Duration::from_secs(10)), work);
        assert_eq!((start.elapsed(), drain.running()), (Duration::from_secs(3), 0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_outlasts_the_grace_is_ended() {
        let drain = Drain::new();
        let running = drain.admit().unwrap();
        let work = async {
            let result = running.bound(std::future::pending::<Result<(), NodeError>>()).await;
            assert!(matches!(result, Err(NodeError::Draining)));
            drop(running);
        };
        let start = Instant::now();
        tokio::join!(drain.finish(Duration::from_secs(10)), work);
        assert_eq!(start.elapsed(), Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_never_ends_delays_the_node_only_so_long() {
        let drain = Drain::new();
        let _stuck = drain.admit().unwrap();
        let start = Instant::now();
        drain.finish(Duration::from_secs(10)).await;
        assert_eq!(start.elapsed(), Duration::from_secs(10) + GOODBYE);
    }
}
