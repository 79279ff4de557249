//! Which tokens grammars allow, found out on a thread of its own while the model computes.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::grammar::{Constraint, GrammarError, TokenSet};

/// The logit of a token that may not be drawn: finite, so that sums stay numbers.
pub(super) const FORBIDDEN: f32 = -1e30;

/// Sequences whose masks can be under way.
const JOBS: usize = 64;

/// A sequence's constraint, and the tokens guessed for it.
struct Job {
    owner: usize,
    constraint: Constraint,
    guess: Vec<u32>,
}

/// A constraint back from the thread.
pub(super) struct Masked {
    /// Whose it is.
    pub(super) owner: usize,
    pub(super) constraint: Constraint,
    /// What may come at the end of the text, and behind each guessed token that may stand where it is.
    pub(super) masks: Result<Vec<TokenSet>, GrammarError>,
}

/// The thread, which starts with the first constrained sequence and ends with its owner.
#[derive(Debug, Default)]
pub(super) struct Masks {
    thread: Option<(SyncSender<Job>, Receiver<Masked>)>,
    under_way: usize,
}

impl Masks {
    /// Begins to compute the masks for a sequence.
    pub(super) fn begin(&mut self, owner: usize, constraint: Constraint, guess: Vec<u32>) {
        let (jobs, _) = self.thread.get_or_insert_with(start);
        if jobs.send(Job { owner, constraint, guess }).is_ok() {
            self.under_way += 1;
        }
    }

    /// All that were begun.
    pub(super) fn finish(&mut self) -> Vec<Masked> {
        let count = std::mem::take(&mut self.under_way);
        match &self.thread {
            Some((_, done)) => done.iter().take(count).collect(),
            None => Vec::new(),
        }
    }
}

fn start() -> (SyncSender<Job>, Receiver<Masked>) {
    let (jobs, waiting) = sync_channel::<Job>(JOBS);
    let (finished, done) = sync_channel(JOBS);
    let work = move || {
        for Job { owner, mut constraint, guess } in waiting {
            let masks = constraint.masks_along(&guess);
            if finished.send(Masked { owner, constraint, masks }).is_err() {
                return;
            }
        }
    };
    // Without the thread nothing comes back, and the sequences end with an error.
    let _ = std::thread::Builder::new().name("synod-masks".to_owned()).spawn(work);
    (jobs, done)
}

/// Makes all tokens but those of `set` impossible.
pub(super) fn forbid_others(set: &TokenSet, logits: &mut [f32]) {
    let words = set.words().iter().copied().chain(std::iter::repeat(0));
    for (logits, word) in logits.chunks_mut(32).zip(words) {
        match word {
            0 => logits.fill(FORBIDDEN),
            u32::MAX => {}
            _ => {
                for (bit, logit) in logits.iter_mut().enumerate() {
                    *logit = if word >> bit & 1 == 1 { *logit } else { FORBIDDEN };
                }
            }
        }
    }
}
