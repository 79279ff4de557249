//! How long to wait before a backend that failed is asked again.

use std::time::Duration;

/// The first pause; it doubles.
const FIRST: Duration = Duration::from_millis(250);

/// Pauses that grow up to a longest one, with a fifth of jitter so that a cluster does not ask in step.
#[derive(Debug)]
pub(super) struct Pauses {
    next: Duration,
    longest: Duration,
}

impl Pauses {
    pub(super) fn up_to(longest: Duration) -> Self {
        Self { next: FIRST.min(longest), longest }
    }

    /// Waits for the next pause.
    pub(super) async fn wait(&mut self) {
        let pause = self.next.mul_f64(rand::random_range(0.8..1.2));
        self.next = (self.next * 2).min(self.longest);
        tokio::time::sleep(pause).await;
    }

    /// It works again.
    pub(super) fn reset(&mut self) {
        self.next = FIRST.min(self.longest);
    }
}
