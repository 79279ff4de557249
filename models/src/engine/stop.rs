//! Stop strings in a stream of text.

/// Holds back text that may be the beginning of a stop string.
#[derive(Debug)]
pub(super) struct StopFilter {
    stops: Vec<String>,
    held: String,
}

/// What may be passed on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Filtered {
    /// This, and the text goes on.
    Text(String),
    /// This, and then a stop string came.
    Stopped(String),
}

impl StopFilter {
    pub(super) fn new(stops: Vec<String>) -> Self {
        Self { stops: stops.into_iter().filter(|stop| !stop.is_empty()).collect(), held: String::new() }
    }

    /// Takes the next piece of text.
    pub(super) fn push(&mut self, text: &str) -> Filtered {
        if self.stops.is_empty() {
            return Filtered::Text(text.to_owned());
        }
        self.held.push_str(text);
        if let Some(at) = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min() {
            self.held.truncate(at);
            return Filtered::Stopped(std::mem::take(&mut self.held));
        }
        let keep = self.stops.iter().map(|stop| longest_overlap(&self.held, stop)).max().unwrap_or(0);
        let held = self.held.split_off(self.held.len() - keep);
        Filtered::Text(std::mem::replace(&mut self.held, held))
    }

    /// The text has ended: what was held back was no stop string.
    pub(super) fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// Bytes at the end of `text` that begin `stop`.
fn longest_overlap(text: &str, stop: &str) -> usize {
    let longest = text.len().min(stop.len());
    (1..=longest).rev().find(|&n| stop.is_char_boundary(n) && text.ends_with(&stop[..n])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `pieces`; returns what came out before the stop (or the end), and whether it stopped.
    fn run(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let mut filter = StopFilter::new(stops.iter().map(|s| s.to_string()).collect());
        let mut out = String::new();
        for piece in pieces {
            match filter.push(piece) {
                Filtered::Text(text) => out += &text,
                Filtered::Stopped(text) => return (out + &text, true),
            }
        }
        (out + &filter.finish(), false)
    }

    #[test]
    fn a_stop_string_over_several_pieces_is_found_and_never_shown() {
        assert_eq!(run(&["STOP"], &["one S", "TO", "P two"]), ("one ".into(), true));
        assert_eq!(run(&["\n\n", "é!"], &["a\n", "b", "cé", "!d"]), ("a\nbc".into(), true));
    }

    #[test]
    fn what_only_looked_like_one_is_passed_on() {
        assert_eq!(run(&["STOP"], &["S", "T", "O", "x", "ST"]), ("STOxST".into(), false));
        assert_eq!(run(&[], &["a", "b"]), ("ab".into(), false));
    }

    #[test]
    fn the_first_of_several_wins() {
        assert_eq!(run(&["b", "a"], &["xxaxb"]), ("xx".into(), true));
    }
}
