//! What happened in the last seconds, counted in a fixed number of buckets.

use std::time::Duration;

use tokio::time::Instant;

const BUCKETS: usize = 10;

/// Two counts over a sliding window. Exact within a tenth of it: an average would hide a tight burst.
#[derive(Debug)]
pub(super) struct Window {
    span: Duration,
    began: Instant,
    /// The bucket of the newest count, from the beginning.
    newest: u128,
    counts: [(u32, u32); BUCKETS],
}

impl Window {
    pub(super) fn new(span: Duration) -> Self {
        Self { span, began: Instant::now(), newest: 0, counts: [(0, 0); BUCKETS] }
    }

    /// Counts one of the first kind.
    pub(super) fn add_first(&mut self) {
        let (first, _) = self.now();
        *first = first.saturating_add(1);
    }

    /// Counts one of the second kind.
    pub(super) fn add_second(&mut self) {
        let (_, second) = self.now();
        *second = second.saturating_add(1);
    }

    /// Both counts within the window.
    pub(super) fn sums(&mut self) -> (u32, u32) {
        self.now();
        let add =
            |sums: (u32, u32), count: &(u32, u32)| (sums.0.saturating_add(count.0), sums.1.saturating_add(count.1));
        self.counts.iter().fold((0, 0), add)
    }

    /// The bucket of this moment; those that lie outside the window by now are emptied.
    fn now(&mut self) -> (&mut u32, &mut u32) {
        let width = (self.span.as_nanos() / BUCKETS as u128).max(1);
        let current = self.began.elapsed().as_nanos() / width;
        let passed = current.saturating_sub(self.newest).min(BUCKETS as u128);
        for step in 1..=passed {
            self.counts[index(current - passed + step)] = (0, 0);
        }
        self.newest = current;
        let (first, second) = &mut self.counts[index(current)];
        (first, second)
    }
}

fn index(bucket: u128) -> usize {
    usize::try_from(bucket % BUCKETS as u128).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_older_than_the_span_is_not_counted() {
        let mut window = Window::new(Duration::from_secs(10));
        window.add_first();
        advance(Duration::from_secs(5)).await;
        window.add_first();
        window.add_second();
        assert_eq!(window.sums(), (2, 1));
        advance(Duration::from_millis(5100)).await;
        assert_eq!(window.sums(), (1, 1), "the first is out");
        advance(Duration::from_secs(3600)).await;
        assert_eq!(window.sums(), (0, 0));
    }
}
