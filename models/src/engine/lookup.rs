//! Prompt-lookup decoding (Saxena 2023; llama.cpp's `ngram-simple`): a text is guessed to go on as it went on the last time
//! that its last words stood in prompt or answer. A guess costs rows in a step, never a wrong token: each token is drawn
//! from the model's own logits, and a guess only counts while it is what was drawn.

use std::collections::HashMap;

/// The shortest and the longest run of tokens that is looked up.
const SHORTEST: usize = 2;
const LONGEST: usize = 4;
const LENGTHS: usize = LONGEST - SHORTEST + 1;
/// The most tokens guessed at once.
const MOST: usize = 10;
/// What one guess is forgotten by with the next.
const MEMORY: f32 = 0.9;
/// After so many steps without a guess one is tried, whatever was learned.
const RETRY: u32 = 24;

/// Guesses how one sequence goes on, and learns how far its guesses can be trusted.
#[derive(Debug)]
pub(super) struct Guesser {
    index: NgramIndex,
    trust: [Trust; LENGTHS],
    /// Steps since the last guess.
    silent: u32,
}

/// How often guesses from runs of one length were right.
#[derive(Debug, Clone, Copy)]
struct Trust {
    right: f32,
    wrong: f32,
}

/// How a text may go on.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Guess {
    pub(super) tokens: Vec<u32>,
    /// Index of the run's length.
    length: usize,
    /// How likely each token is right, given those before it.
    pub(super) probability: f32,
}

impl Guesser {
    pub(super) fn new() -> Self {
        // Long runs begin with more trust.
        let trust = std::array::from_fn(|length| Trust { right: 1.0 + length as f32, wrong: 1.0 });
        Self { index: NgramIndex::default(), trust, silent: 0 }
    }

    /// Guesses at most `most` tokens behind `tokens`.
    pub(super) fn guess(&mut self, tokens: &[u32], most: usize) -> Guess {
        self.index.extend(tokens);
        self.silent += 1;
        let Some((length, at)) = self.index.find(tokens) else { return Guess::default() };
        let Trust { right, wrong } = self.trust[length];
        let mut probability = right / (right + wrong);
        let mut most = most.min(MOST);
        if self.silent > RETRY {
            (probability, most) = (probability.max(0.9), most.min(2)); // a short one, to learn from
        }
        let tokens = tokens[at..].iter().take(most).copied().collect();
        Guess { tokens, length, probability }
    }

    /// Learns from a guess that was tried.
    pub(super) fn learn(&mut self, guess: &Guess, right: usize) {
        let trust = &mut self.trust[guess.length];
        trust.right = trust.right * MEMORY + right as f32;
        trust.wrong = trust.wrong * MEMORY + if right < guess.tokens.len() { 1.0 } else { 0.0 };
        self.silent = 0;
    }
}

/// Where runs of tokens last stood in a text that grows.
#[derive(Debug, Default)]
struct NgramIndex {
    /// For each length, where what follows a run begins.
    next: [HashMap<[u32; LONGEST], u32>; LENGTHS],
    /// Ends of runs below this are in it.
    indexed: usize,
}

impl NgramIndex {
    /// Takes in what the text has grown by; the run at its end is left out, since nothing follows it yet.
    fn extend(&mut self, tokens: &[u32]) {
        for end in self.indexed..tokens.len() {
            for (index, next) in self.next.iter_mut().enumerate() {
                if let Some(run) = run(&tokens[..end], SHORTEST + index) {
                    next.insert(run, end as u32);
                }
            }
        }
        self.indexed = self.indexed.max(tokens.len());
    }

    /// The longest run at the end of the text that stood in it before: the index of its length, and what followed.
    fn find(&self, tokens: &[u32]) -> Option<(usize, usize)> {
        (0..LENGTHS).rev().find_map(|index| {
            let run = run(tokens, SHORTEST + index)?;
            self.next[index].get(&run).map(|&at| (index, at as usize))
        })
    }
}

/// The last `length` tokens, filled up with no token.
fn run(tokens: &[u32], length: usize) -> Option<[u32; LONGEST]> {
    let last = &tokens[tokens.len().checked_sub(length)?..];
    let mut run = [u32::MAX; LONGEST];
    run[..length].copy_from_slice(last);
    Some(run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_goes_on_as_it_did_the_last_time() {
        let mut guesser = Guesser::new();
        let text = [1, 2, 3, 4, 5, 9, 2, 3, 7, 8, 1, 2, 3];
        let guess = guesser.guess(&text, 3);
        assert_eq!(guess.tokens, [4, 5, 9], "the longest run counts, not the latest");
        assert_eq!(Guesser::new().guess(&text[..12], 2).tokens, [3, 4]);
        assert!(guesser.guess(&[1, 2, 3, 4, 5, 9, 2, 3, 7, 8, 1, 2, 3, 50], 3).tokens.is_empty());
    }

    #[test]
    fn wrong_guesses_cost_trust_and_right_ones_win_it_back() {
        let mut guesser = Guesser::new();
        let text = [1, 2, 3, 4, 1, 2];
        let probability = |guesser: &mut Guesser| guesser.guess(&text, 2).probability;
        let begin = probability(&mut guesser);
        let guess = guesser.guess(&text, 2);
        (0..10).for_each(|_| guesser.learn(&guess, 0));
        assert!(probability(&mut guesser) < begin / 2.0);
        (0..10).for_each(|_| guesser.learn(&guess, 2));
        assert!(probability(&mut guesser) > begin);
    }

    #[test]
    fn a_silent_guesser_tries_again() {
        let mut guesser = Guesser::new();
        let text = [1, 2, 3, 4, 1, 2];
        let guess = guesser.guess(&text, 2);
        (0..50).for_each(|_| guesser.learn(&guess, 0));
        let tried = (0..RETRY + 1).map(|_| guesser.guess(&text, 8)).find(|guess| guess.probability > 0.5);
        assert_eq!(tried.map(|guess| guess.tokens.len()), Some(2));
    }
}
