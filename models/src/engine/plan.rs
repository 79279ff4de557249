//! Who computes what in the next step.
//!
//! A step holds one row of every sequence that decodes and what is worth trying of their guesses, then as much of the
//! waiting prompts as fits, or as is computed while those who write may wait (Sarathi-Serve, arXiv 2403.02310). What one
//! sequence has computed or is about to, another with the same beginning does not compute again.
//!
//! Memory is granted before it is used. A sequence is let in when its prompt and its longest answer have room, so that
//! nobody who writes has to stop; a prompt that grows while it is read waits for more, and if all that could compute wait
//! for each other, the youngest gives its memory back and queues again.

use std::sync::atomic::Ordering::Relaxed;

use synod_kernels::BLOCK_TOKENS;

use super::{
    cache::{Copy, common_length},
    lookup::Guess,
    pace::MOST_ROWS,
    scheduler::Scheduler,
    sequence::Running,
};

/// Rows of a step at the most.
pub(crate) const STEP_ROWS: usize = 256;
/// Tokens that are worth waiting for another sequence to compute.
const WORTH_WAITING: usize = 16;

/// A step.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) shares: Vec<Share>,
    /// Blocks to copy before it.
    pub(super) copies: Vec<Copy>,
}

/// One sequence's part in a step.
#[derive(Debug)]
pub(super) struct Share {
    /// Which of the running sequences.
    pub(super) index: usize,
    /// How many of its known tokens are computed.
    pub(super) rows: usize,
    /// Tokens that are tried behind them.
    pub(super) guess: Guess,
}

impl Scheduler {
    /// Lets waiting sequences in, in order, as long as there are places and memory.
    pub(super) fn admit(&mut self) {
        while self.running.len() < self.limits.max_running
            && let Some(sequence) = self.waiting.front()
        {
            let needs = sequence.needs(self.limits.context_length);
            let held = self.cache.held_by_others(&sequence.tokens);
            if needs - held.min(needs) > self.unpromised() {
                return;
            }
            let Some(mut sequence) = self.waiting.pop_front() else { return };
            sequence.granted = needs;
            self.running.push(sequence);
            self.counters.queued.fetch_sub(1, Relaxed);
        }
    }

    /// Blocks that nobody was promised.
    pub(super) fn unpromised(&self) -> usize {
        let promised =
            self.running.iter().map(|sequence| sequence.granted.saturating_sub(sequence.place.table().len()));
        self.cache.available().saturating_sub(promised.sum())
    }

    /// Lays out the next step.
    pub(super) fn plan(&mut self) -> Plan {
        for index in 0..self.running.len() {
            self.grant(index);
        }
        let mut plan = Plan::default();
        let mut left = STEP_ROWS;
        for index in 0..self.running.len() {
            if self.running[index].is_decoding() && left > 0 {
                let rows = self.running[index].computable(self.limits.context_length).min(left);
                left -= rows;
                plan.shares.push(Share { index, rows, guess: Guess::default() });
            }
        }
        let rows = STEP_ROWS - left;
        if rows < MOST_ROWS {
            left -= self.guess(&mut plan, rows);
        }
        if rows > 0 {
            left = left.min(self.times.chunk());
        }
        for index in 0..self.running.len() {
            if left == 0 {
                break;
            }
            if !self.running[index].is_decoding() && !self.reuse(index, &mut plan) {
                let rows = self.running[index].computable(self.limits.context_length).min(left);
                if rows > 0 {
                    left -= rows;
                    plan.shares.push(Share { index, rows, guess: Guess::default() });
                }
            }
        }
        plan
    }

    /// Grants a sequence whose prompt has grown or ended what it needs, if that is there.
    fn grant(&mut self, index: usize) {
        let needs = self.running[index].needs(self.limits.context_length);
        let granted = self.running[index].granted;
        if needs > granted && needs - granted <= self.unpromised() {
            self.running[index].granted = needs;
        }
    }

    /// Adds guesses to the rows of those that decode, as far as they are likely to pay; returns how many rows.
    fn guess(&mut self, plan: &mut Plan, rows: usize) -> usize {
        let room = self.limits.context_length;
        let guesses: Vec<Guess> =
            plan.shares.iter().map(|share| self.running[share.index].guess(MOST_ROWS - rows, room)).collect();
        let offers: Vec<_> = guesses.iter().map(|guess| (guess.tokens.len(), guess.probability)).collect();
        let lengths = self.times.worth_trying(rows, &offers);
        for ((share, mut guess), &length) in plan.shares.iter_mut().zip(guesses).zip(&lengths) {
            guess.tokens.truncate(length);
            share.guess = guess;
        }
        lengths.iter().sum()
    }

    /// Moves a prompt forward over what is in the cache already. True if it should wait for a sequence in the step that
    /// computes what it needs too.
    fn reuse(&mut self, index: usize, plan: &mut Plan) -> bool {
        let (before, rest) = self.running.split_at_mut(index);
        let Some((sequence, after)) = rest.split_first_mut() else { return false };
        // The last token is computed in any case: its logits are wanted, or it is not known whether it is the last.
        let last = sequence.tokens.len().saturating_sub(1);
        let own = sequence.place.table().len() * BLOCK_TOKENS > sequence.cached;
        if own || sequence.cached >= last {
            return false;
        }
        let followed = self.cache.follow(&mut sequence.place, &sequence.tokens[..last]);
        sequence.moved_to(followed);
        let common = |other: &Running| common_length(&other.tokens, &sequence.tokens[..last]);
        let computing = |share: &Share| {
            before.get(share.index).map_or(0, |other| match common(other) {
                common if common > other.cached => common,
                _ => 0,
            })
        };
        let coming = plan.shares.iter().map(computing).max().unwrap_or(0);
        if coming >= sequence.cached + WORTH_WAITING {
            return true;
        }
        let others = before.iter().chain(after.iter()).map(|other| (&other.place, other.computed()));
        let next = &sequence.tokens[sequence.cached..last];
        if let Some((block, common)) = self.cache.closest(&sequence.place, next, others)
            && sequence.place.table().len() < sequence.granted
            && let Some(copy) = self.cache.copy_of(&mut sequence.place, block)
        {
            plan.copies.push(copy);
            sequence.moved_to(sequence.cached + common);
        }
        false
    }

    /// When nobody could compute: sends the youngest of those that wait for memory back to the queue. False if nobody was.
    pub(super) fn make_room(&mut self) -> bool {
        let context = self.limits.context_length;
        let wants = |sequence: &Running| sequence.granted < sequence.needs(context);
        let Some(youngest) = self.running.iter().rposition(wants) else { return false };
        if self.running.len() == 1 {
            return false;
        }
        let mut sequence = self.running.remove(youngest);
        let place = std::mem::take(&mut sequence.place);
        self.cache.release(place, sequence.computed());
        sequence.start_over();
        self.waiting.push_front(sequence);
        self.counters.queued.fetch_add(1, Relaxed);
        true
    }
}
