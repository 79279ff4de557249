//! How fast a model is on a node, from calls that it finished.

use std::time::Duration;

/// How much the newest call moves an average.
const WEIGHT: f64 = 0.3;
/// What each further sequence adds to the time of all: a batch reads the weights once, so far less than one alone takes.
const CROWDING: f64 = 0.25;
/// Fewer tokens than this say nothing about a speed.
const ENOUGH: u32 = 8;

/// Time for one token, alone on the node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Seconds {
    pub(super) read: f64,
    pub(super) write: f64,
}

impl Seconds {
    /// Where no node has been measured yet.
    pub(super) const ASSUMED: Self = Self { read: 0.004, write: 0.05 };
}

/// What one finished call tells.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measured {
    /// Prompt tokens that were read, and not found in the cache.
    pub(super) read: u32,
    pub(super) until_first: Duration,
    pub(super) written: u32,
    pub(super) writing: Duration,
    /// Sequences beside this one.
    pub(super) beside: usize,
    /// Whether it had to wait for a place: what it took then says nothing about reading.
    pub(super) queued: bool,
}

/// Averages over the last calls.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Speed {
    read: Option<f64>,
    write: Option<f64>,
}

impl Speed {
    pub(super) fn add(&mut self, call: &Measured) {
        let slowed = slowdown(call.beside);
        if call.read >= ENOUGH && !call.queued {
            average(&mut self.read, call.until_first.as_secs_f64() / f64::from(call.read) / slowed);
        }
        if call.written >= ENOUGH {
            average(&mut self.write, call.writing.as_secs_f64() / f64::from(call.written - 1) / slowed);
        }
    }

    /// What the node itself measured, in tokens a second, as long as nothing is known from calls of ours.
    pub(super) fn announced(&mut self, prefill_tok_s: f64, decode_tok_s: f64) {
        let seconds = |tok_s: f64| (tok_s.is_finite() && tok_s > 0.0).then(|| 1.0 / tok_s);
        self.read = self.read.or(seconds(prefill_tok_s));
        self.write = self.write.or(seconds(decode_tok_s));
    }

    /// The node took at least this long for a prompt, and had not begun to write.
    pub(super) fn at_least(&mut self, read: usize, waited: Duration, beside: usize) {
        let seconds = waited.as_secs_f64() / (read as f64).max(1.0) / slowdown(beside);
        if self.read.is_none_or(|known| seconds > known) {
            average(&mut self.read, seconds);
        }
    }

    /// What is known, and for what isn't the best of the others: a node that nobody has tried is worth trying.
    pub(super) fn or(&self, best: Seconds) -> Seconds {
        Seconds { read: self.read.unwrap_or(best.read), write: self.write.unwrap_or(best.write) }
    }
}

/// The best of all that have been measured.
pub(super) fn best(speeds: impl IntoIterator<Item = Speed>) -> Seconds {
    let least = |one: Option<f64>, other: Option<f64>| one.into_iter().chain(other).reduce(f64::min);
    let both = |so_far: Speed, speed: Speed| Speed {
        read: least(so_far.read, speed.read),
        write: least(so_far.write, speed.write),
    };
    speeds.into_iter().fold(Speed::default(), both).or(Seconds::ASSUMED)
}

/// By how much so many sequences beside it slow one down.
pub(super) fn slowdown(beside: usize) -> f64 {
    1.0 + CROWDING * beside as f64
}

/// Moves an average towards a value.
pub(super) fn average(average: &mut Option<f64>, value: f64) {
    *average = Some(average.map_or(value, |before| before + WEIGHT * (value - before)));
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASSUMED: Seconds = Seconds::ASSUMED;
    const CALL: Measured = Measured {
        read: 100,
        until_first: Duration::from_secs(1),
        written: 11,
        writing: Duration::from_secs(1),
        beside: 0,
        queued: false,
    };

    fn measured(calls: &[Measured]) -> Seconds {
        let mut speed = Speed::default();
        calls.iter().for_each(|call| speed.add(call));
        speed.or(ASSUMED)
    }

    #[track_caller]
    fn check(found: Seconds, read: f64, write: f64) {
        assert!((found.read - read).abs() < 1e-9 && (found.write - write).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn a_call_is_measured_as_if_it_had_been_alone() {
        check(measured(&[CALL]), 0.01, 0.1);
        check(measured(&[Measured { beside: 4, ..CALL }]), 0.005, 0.05);
    }

    #[test]
    fn the_newest_call_moves_the_average_by_its_weight() {
        let slow = Measured { until_first: Duration::from_secs(2), writing: Duration::from_secs(2), ..CALL };
        check(measured(&[CALL, slow]), 0.013, 0.13);
    }

    #[test]
    fn what_says_nothing_is_not_counted() {
        check(measured(&[Measured { queued: true, ..CALL }]), ASSUMED.read, 0.1);
        check(measured(&[Measured { read: 0, written: 1, ..CALL }]), ASSUMED.read, ASSUMED.write);
    }

    #[test]
    fn what_a_node_says_of_itself_counts_until_it_was_asked() {
        let mut speed = Speed::default();
        speed.announced(0.0, f64::NAN);
        assert_eq!(speed.or(Seconds::ASSUMED), Seconds::ASSUMED);
        speed.announced(1000.0, 50.0);
        speed.announced(1.0, 1.0);
        assert_eq!(speed.or(Seconds::ASSUMED), Seconds { read: 0.001, write: 0.02 });
    }

    #[test]
    fn the_unknown_is_taken_for_as_good_as_the_best() {
        let (mut fast, mut slow, unknown) = (Speed::default(), Speed::default(), Speed::default());
        fast.add(&CALL);
        slow.add(&Measured { until_first: Duration::from_secs(9), writing: Duration::from_secs(9), ..CALL });
        let best = best([unknown, slow, fast]);
        check(unknown.or(best), 0.01, 0.1);
        slow.at_least(100, Duration::from_secs(19), 0);
        check(slow.or(best), 0.12, 0.9);
        slow.at_least(100, Duration::from_secs(1), 0);
        check(slow.or(best), 0.12, 0.9);
    }
}
