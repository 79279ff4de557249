//! How a model usually goes, whatever the node: how soon it begins, and how much it writes.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::speed::average;

/// First-token times kept of a model.
const KEPT: usize = 128;
/// Fewer say nothing about a tail.
const ENOUGH: usize = 20;
/// Models kept count of; beyond it nothing is known of a model's pace.
const MAX_MODELS: usize = 1024;
/// Tokens of an answer, before any was written.
const ASSUMED_ANSWER: f64 = 128.0;

/// One model.
#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    first_tokens: VecDeque<Duration>,
    answer_tokens: Option<f64>,
}

impl Pace {
    pub(super) fn add(&self, first_token: Duration, answer_tokens: u32) {
        let mut known = self.lock();
        if known.first_tokens.len() == KEPT {
            known.first_tokens.pop_front();
        }
        known.first_tokens.push_back(first_token);
        average(&mut known.answer_tokens, f64::from(answer_tokens));
    }

    /// 95 of 100 calls have begun to write by then.
    pub(super) fn usual_first_token(&self) -> Option<Duration> {
        let mut times: Vec<Duration> = self.lock().first_tokens.iter().copied().collect();
        if times.len() < ENOUGH {
            return None;
        }
        let at = (times.len() * 95).div_ceil(100) - 1;
        let (_, time, _) = times.select_nth_unstable(at);
        Some(*time)
    }

    pub(super) fn answer_tokens(&self) -> f64 {
        self.lock().answer_tokens.unwrap_or(ASSUMED_ANSWER)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All models.
#[derive(Debug, Default)]
pub(super) struct Paces(Mutex<BTreeMap<String, Arc<Pace>>>);

impl Paces {
    pub(super) fn of(&self, model: &str) -> Arc<Pace> {
        let mut models = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = models.get(model) {
            return Arc::clone(known);
        }
        let pace = Arc::new(Pace::default());
        if models.len() < MAX_MODELS {
            models.insert(model.to_owned(), Arc::clone(&pace));
        }
        pace
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_time_is_that_of_95_in_100_and_needs_enough_of_them() {
        let pace = Pace::default();
        for ms in 1..=100 {
            assert_eq!(pace.usual_first_token().is_some(), ms > 20);
            pace.add(Duration::from_millis(ms), 10);
        }
        assert_eq!(pace.usual_first_token(), Some(Duration::from_millis(95)));
        (0..KEPT).for_each(|_| pace.add(Duration::from_millis(7), 10));
        assert_eq!(pace.usual_first_token(), Some(Duration::from_millis(7)), "what is old is forgotten");
    }

    #[test]
    fn models_are_told_apart() {
        let paces = Paces::default();
        paces.of("a").add(Duration::ZERO, 7);
        assert_eq!([paces.of("a").answer_tokens(), paces.of("b").answer_tokens()], [7.0, ASSUMED_ANSWER]);
    }
}
