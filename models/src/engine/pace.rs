//! How long steps take, and so how many guesses are worth their rows, and how much of a prompt those who write wait for.

/// Rows of a step up to which times are kept and guesses are made.
pub(super) const MOST_ROWS: usize = 16;
/// What a row is thought to cost beside the first, until it was measured.
const ROW_SHARE: f32 = 0.2;
/// The weight of the latest measurement.
const LATEST: f32 = 0.2;
/// Guessing must promise at least this much.
const WORTH: f32 = 1.05;

/// For how many seconds those who write may wait for a chunk of somebody's prompt.
const LONGEST_CHUNK: f32 = 0.25;
/// A chunk is never shorter: rows that are computed together share the reading of the weights.
const LEAST_CHUNK: usize = 64;

/// Times of steps by their rows, as measured.
#[derive(Debug, Default)]
pub(super) struct StepTimes {
    seconds: [Option<f32>; MOST_ROWS + 1],
    /// What a row of a long step took lately.
    row: Option<f32>,
}

impl StepTimes {
    /// A step of `rows` rows took so long.
    pub(super) fn measured(&mut self, rows: usize, seconds: f32) {
        // A step that the machine was busy elsewhere in says little.
        let learn = |known: &mut Option<f32>, seconds: f32| {
            *known = Some(known.map_or(seconds, |known| known + (seconds.min(known * 2.0) - known) * LATEST));
        };
        if let Some(known) = self.seconds.get_mut(rows) {
            learn(known, seconds);
        } else if rows >= LEAST_CHUNK {
            learn(&mut self.row, seconds / rows as f32);
        }
    }

    /// How many rows of prompts a step may have beside those of sequences that write.
    pub(super) fn chunk(&self) -> usize {
        let within = |row: f32| ((LONGEST_CHUNK / row) as usize).max(LEAST_CHUNK);
        self.row.map_or(usize::MAX, within)
    }

    /// What a step of `rows` rows is expected to take.
    fn expected(&self, rows: usize) -> f32 {
        let known = |rows: usize| self.seconds.get(rows).copied().flatten().map(|seconds| (rows as f32, seconds));
        let below = (1..=rows).rev().find_map(known);
        let above = (rows..=MOST_ROWS).find_map(known);
        let first = |(at, seconds): (f32, f32)| seconds / (1.0 + ROW_SHARE * (at - 1.0));
        let rows = rows as f32;
        match (below, above) {
            (Some((at, seconds)), Some((to, more))) if to > at => seconds + (more - seconds) * (rows - at) / (to - at),
            (Some((_, seconds)), Some(_)) => seconds,
            (Some(known), None) | (None, Some(known)) => first(known) * (1.0 + ROW_SHARE * (rows - 1.0)),
            (None, None) => 1.0 + ROW_SHARE * (rows - 1.0),
        }
    }

    /// How much of each guess to try in a step that has `rows` rows anyway, so that most tokens a second come out.
    /// `guesses`: how many tokens each has, and how likely each token is right given those before.
    pub(super) fn worth_trying(&self, rows: usize, guesses: &[(usize, f32)]) -> Vec<usize> {
        let mut lengths = vec![0; guesses.len()];
        // The likeliest guessed tokens first; a guess's own come in order, since each is less likely than the one before.
        let mut tokens: Vec<(f32, usize)> = Vec::new();
        for (index, &(length, probability)) in guesses.iter().enumerate() {
            tokens.extend((1..=length as i32).map(|n| (probability.powi(n), index)));
        }
        tokens.sort_by(|a, b| b.0.total_cmp(&a.0));
        tokens.truncate(MOST_ROWS.saturating_sub(rows));
        let rate = |more: usize, gained: f32| (rows as f32 + gained) / self.expected(rows + more);
        let (mut best, mut best_rate, mut gained) = (0, rate(0, 0.0) * WORTH, 0.0);
        for (more, (probability, _)) in tokens.iter().enumerate() {
            gained += probability;
            let rate = rate(more + 1, gained);
            if rate > best_rate {
                (best, best_rate) = (more + 1, rate);
            }
        }
        tokens[..best].iter().for_each(|&(_, index)| lengths[index] += 1);
        lengths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cheap_rows_are_filled_and_dear_ones_are_not() {
        let (mut cheap, mut dear) = (StepTimes::default(), StepTimes::default());
        for rows in 1..=16 {
            cheap.measured(rows, 1.0 + 0.02 * rows as f32);
            dear.measured(rows, rows as f32);
        }
        assert_eq!(cheap.worth_trying(1, &[(8, 0.95)]), [8]);
        assert_eq!(dear.worth_trying(1, &[(8, 0.95)]), [0]);
        let lengths = cheap.worth_trying(2, &[(8, 0.9), (8, 0.05)]);
        assert!(lengths[0] > 4 && lengths[1] == 0, "{lengths:?}");
        assert_eq!(cheap.worth_trying(16, &[(8, 0.95)]), [0]);
    }

    #[test]
    fn a_chunk_is_as_long_as_those_who_write_may_wait() {
        let mut times = StepTimes::default();
        assert_eq!(times.chunk(), usize::MAX);
        times.measured(512, 0.5);
        assert_eq!(times.chunk(), 256);
        let mut slow = StepTimes::default();
        slow.measured(256, 2.0);
        assert_eq!(slow.chunk(), LEAST_CHUNK);
    }

    #[test]
    fn what_was_not_measured_lies_between_what_was() {
        let mut times = StepTimes::default();
        times.measured(1, 1.0);
        times.measured(5, 2.0);
        assert_eq!(times.expected(3), 1.5);
        assert!(times.expected(9) > 2.0);
    }
}
