//! How a run's time is shared between its stages.

use std::time::Duration;

/// What a stage may take: an even share of what is left, so that slow drafts leave time for the answer; or its own
/// limit, where it has one, as far as that is left.
pub(crate) fn share(remaining: Duration, stages_left: usize, own: Option<Duration>) -> Duration {
    let even = remaining / u32::try_from(stages_left.max(1)).unwrap_or(u32::MAX);
    own.map_or(even, |own| own.min(remaining))
}
