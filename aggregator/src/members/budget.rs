//! How much retries and hedges may add to the load: where everything fails, trying everything twice makes it worse.

use std::{sync::Mutex, sync::PoisonError, time::Duration};

use super::window::Window;
use crate::limits::Limits;

/// The span over which calls and retries are counted.
const SPAN: Duration = Duration::from_secs(10);

/// Allows retries as a share of first tries, and some a second whatever their share.
#[derive(Debug)]
pub(crate) struct RetryBudget {
    share: f64,
    floor: f64,
    /// First tries, and retries.
    window: Mutex<Window>,
}

impl RetryBudget {
    pub(crate) fn new(limits: &Limits) -> Self {
        let floor = f64::from(limits.retries_per_second) * SPAN.as_secs_f64();
        Self { share: limits.retry_share, floor, window: Mutex::new(Window::new(SPAN)) }
    }

    /// Counts a first try.
    pub(super) fn deposit(&self) {
        self.lock().add_first();
    }

    /// Takes one retry, if there is any left.
    pub(super) fn withdraw(&self) -> bool {
        let mut window = self.lock();
        let (calls, retries) = window.sums();
        let allowed = f64::from(retries) + 1.0 <= self.floor + self.share * f64::from(calls);
        if allowed {
            window.add_second();
        }
        allowed
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn budget(retry_share: f64, retries_per_second: u32) -> RetryBudget {
        RetryBudget::new(&Limits { retry_share, retries_per_second, ..Limits::standard() })
    }

    fn granted(budget: &RetryBudget) -> usize {
        (0..1000).filter(|_| budget.withdraw()).count()
    }

    #[tokio::test(start_paused = true)]
    async fn retries_are_a_share_of_calls_and_come_back_with_time() {
        let budget = budget(0.2, 0);
        assert!(!budget.withdraw(), "nobody asked anything yet");
        (0..50).for_each(|_| budget.deposit());
        assert_eq!(granted(&budget), 10);
        advance(SPAN * 2).await;
        (0..5).for_each(|_| budget.deposit());
        assert_eq!(granted(&budget), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_process_has_its_floor() {
        assert_eq!(granted(&budget(0.2, 3)), 30);
    }
}
