//! How fast tokens are written, from counts of them.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use synod_aggregator::window::NodeView;

/// The span that a rate is taken over: shorter jumps, longer lags.
const SPAN: Duration = Duration::from_secs(3);

/// Counts of the last moments, by a node's address and model.
#[derive(Debug, Default)]
pub(super) struct Rates(BTreeMap<(String, String), VecDeque<(Instant, u64)>>);

impl Rates {
    /// Takes in what was counted at this moment, and forgets models that are gone.
    pub(super) fn count(&mut self, nodes: &[NodeView], now: Instant) {
        let mut before = std::mem::take(&mut self.0);
        for node in nodes {
            for model in &node.models {
                let key = (node.address.clone(), model.name.clone());
                let mut counts = before.remove(&key).unwrap_or_default();
                counts.push_back((now, model.standing.written));
                // One from before the span stays: the rate is taken from there.
                while counts.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= SPAN) {
                    counts.pop_front();
                }
                self.0.insert(key, counts);
            }
        }
    }

    /// Tokens a second of a model on a node.
    pub(super) fn of(&self, address: &str, model: &str) -> f64 {
        self.0.get(&(address.to_owned(), model.to_owned())).map_or(0.0, rate)
    }

    /// Of all together.
    pub(super) fn sum(&self) -> f64 {
        // An empty sum of floats is −0.
        self.0.values().map(rate).fold(0.0, |all, one| all + one)
    }
}

fn rate(counts: &VecDeque<(Instant, u64)>) -> f64 {
    let (Some((first, from)), Some((last, to))) = (counts.front(), counts.back()) else { return 0.0 };
    let seconds = last.duration_since(*first).as_secs_f64();
    if seconds > 0.0 { to.saturating_sub(*from) as f64 / seconds } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use synod_aggregator::{discovery::NodeState, members::Standing, window::ModelView};

    use super::*;

    fn node(written: u64) -> Vec<NodeView> {
        let standing = Standing { written, ..Standing::default() };
        let models = vec![ModelView { name: "m".to_owned(), ejected: false, standing }];
        vec![NodeView { address: "a".to_owned(), state: NodeState::Ready, error: String::new(), models }]
    }

    #[test]
    fn a_rate_is_that_of_the_last_moments() {
        let (mut rates, began) = (Rates::default(), Instant::now());
        let at = |half_seconds: u32| began + Duration::from_millis(500) * half_seconds;
        rates.count(&node(0), at(0));
        assert_eq!(rates.sum(), 0.0);
        rates.count(&node(20), at(2));
        assert_eq!((rates.of("a", "m"), rates.of("a", "other")), (20.0, 0.0));
        (3..40).for_each(|half| rates.count(&node(20), at(half)));
        assert_eq!(rates.sum(), 0.0);
        rates.count(&[], at(40));
        assert!(rates.0.is_empty());
    }
}
