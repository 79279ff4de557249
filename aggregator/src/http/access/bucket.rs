//! A rate: so much a minute, saved up for a minute at most. What a request costs in tokens is known only when it is over, so
//! that a bucket may be overdrawn, and then fills up before it gives again; ready-made limiters cannot take back or go below.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// What is left of a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) limit: u32,
    pub(crate) remaining: u32,
    /// Until all of it is there again.
    pub(crate) reset: Duration,
}

#[derive(Debug)]
pub(crate) struct Bucket {
    per_minute: u32,
    /// How much there was, and when.
    level: Mutex<(f64, Instant)>,
}

impl Bucket {
    pub(crate) fn new(per_minute: u32) -> Self {
        Self { per_minute, level: Mutex::new((f64::from(per_minute), Instant::now())) }
    }

    /// Takes `amount`, or says when there will be so much; of more than there can ever be, when it is full.
    pub(crate) fn take(&self, amount: u32) -> Result<(), Duration> {
        let mut level = self.refreshed();
        let missing = f64::from(amount.min(self.per_minute)) - level.0;
        if missing > 0.0 {
            return Err(self.time_for(missing));
        }
        level.0 -= f64::from(amount);
        Ok(())
    }

    /// Takes what was cost beyond what was taken before, or gives back what was not.
    pub(crate) fn settle(&self, taken: u32, cost: u32) {
        self.refreshed().0 -= f64::from(cost) - f64::from(taken);
    }

    pub(crate) fn left(&self) -> Left {
        let (level, _) = *self.refreshed();
        let missing = f64::from(self.per_minute) - level;
        Left { limit: self.per_minute, remaining: level.max(0.0) as u32, reset: self.time_for(missing) }
    }

    fn refreshed(&self) -> std::sync::MutexGuard<'_, (f64, Instant)> {
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let (most, now) = (f64::from(self.per_minute), Instant::now());
        let filled = level.0 + most * now.duration_since(level.1).as_secs_f64() / 60.0;
        *level = (filled.min(most), now);
        level
    }

    fn time_for(&self, missing: f64) -> Duration {
        Duration::try_from_secs_f64(missing.max(0.0) * 60.0 / f64::from(self.per_minute.max(1)))
            .unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_used_up_comes_back_with_time() {
        let bucket = Bucket::new(60);
        assert_eq!(bucket.take(60), Ok(()));
        assert_eq!(bucket.take(2), Err(Duration::from_secs(2)));
        advance(Duration::from_secs(2)).await;
        assert_eq!(bucket.take(2), Ok(()));
        assert_eq!(bucket.left(), Left { limit: 60, remaining: 0, reset: Duration::from_secs(60) });
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_cost_more_than_was_left_is_paid_off_first() {
        let bucket = Bucket::new(60);
        bucket.take(10).unwrap();
        bucket.settle(10, 90);
        assert_eq!(bucket.take(1), Err(Duration::from_secs(31)));
        bucket.settle(100, 0);
        assert_eq!(bucket.left().remaining, 60, "it never holds more than a minute's worth");
        assert_eq!(bucket.take(1000), Ok(()), "what never fits is let through a full bucket, and paid off");
    }
}
