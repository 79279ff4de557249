//! The synthesiser reads drafts while they are written: by the time that the last is finished, the others are in its cache.

use std::sync::{Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::{
    members::Parts,
    prompts::Part,
    stages::{place, synthesize::Script, usable::settled},
    topology::Overlap,
};

/// A piece of a draft is sent once so many bytes of it are new: each costs a message, and few tokens at a time cost the
/// node more than many.
const PIECE_BYTES: usize = 256;

/// Writes a synthesis prompt from drafts under way. Whatever it has written is the beginning of the prompt that the
/// finished drafts make; where that cannot be, because a draft is lost half read, it gives up.
pub(super) struct Feed {
    script: Script,
    parts: Parts,
    overlap: Overlap,
    gave_up: CancellationToken,
    state: Mutex<State>,
}

struct State {
    drafts: Vec<Draft>,
    /// Seats in the order that the prompt shows them; by arrival, it grows.
    order: Vec<usize>,
    /// How many of `order` are written or left out.
    done: usize,
    /// The seats that the prompt shows.
    shown: Vec<usize>,
}

/// A draft of one seat.
#[derive(Default, Clone)]
struct Draft {
    text: String,
    /// Bytes of it that are in the prompt.
    sent: usize,
    /// Its usable text, once it is finished; none if it is lost.
    end: Option<Option<String>>,
}

impl Draft {
    /// Whether what was sent of it is how `text` begins.
    fn sent_begins(&self, text: &str) -> bool {
        self.sent == 0 || self.text.trim_start().get(..self.sent).is_some_and(|sent| text.starts_with(sent))
    }
}

impl Feed {
    /// For the drafts of stage `from`, with so many seats, shown by the stage after it.
    pub(super) fn new(script: Script, overlap: Overlap, from: usize, seats: usize, seed: u64) -> Self {
        let mut order: Vec<usize> = (0..seats).collect();
        order.sort_by_key(|seat| place(from, *seat, seed, from + 1));
        if overlap == Overlap::Draft {
            order.clear();
        }
        let state = State { drafts: vec![Draft::default(); seats], order, done: 0, shown: Vec::new() };
        let feed = Self {
            script,
            parts: Parts::growing(),
            overlap,
            gave_up: CancellationToken::new(),
            state: Mutex::new(state),
        };
        if let Some(head) = feed.script.before.first() {
            head.iter().for_each(|part| feed.parts.push(part.clone()));
        }
        feed
    }

    /// The prompt, as it grows.
    pub(super) fn parts(&self) -> &Parts {
        &self.parts
    }

    /// How many drafts it may show.
    pub(super) fn seats(&self) -> usize {
        self.script.before.len()
    }

    /// The prompt's conversation.
    pub(super) fn messages(&self) -> Vec<crate::prompts::Message> {
        self.script.messages.clone()
    }

    /// Waits until it gives up; for ever, where it does not.
    pub(super) async fn gave_up(&self) {
        self.gave_up.cancelled().await;
    }

    /// A seat wrote more.
    pub(super) fn wrote(&self, seat: usize, text: &str) {
        if self.overlap != Overlap::Chunk {
            return;
        }
        let mut state = self.lock();
        if let Some(draft) = state.drafts.get_mut(seat) {
            draft.text.push_str(text);
        }
        self.advance(&mut state);
    }

    /// A seat begins anew on another node.
    pub(super) fn restarted(&self, seat: usize) {
        let mut state = self.lock();
        let Some(draft) = state.drafts.get_mut(seat) else { return };
        draft.text.clear();
        if draft.sent > 0 {
            self.gave_up.cancel();
        }
    }

    /// A seat is finished with this usable text, or lost.
    pub(super) fn ended(&self, seat: usize, usable: Option<&str>) {
        let mut state = self.lock();
        if self.overlap == Overlap::Draft && usable.is_some() {
            state.order.push(seat);
        }
        if let Some(draft) = state.drafts.get_mut(seat) {
            draft.end = Some(usable.map(str::to_owned));
        }
        self.advance(&mut state);
    }

    /// All seats have ended: completes the prompt. Returns the seats that it shows, in order; `None` if it has given up.
    pub(super) fn complete(&self) -> Option<Vec<usize>> {
        let state = self.lock();
        let complete = !self.gave_up.is_cancelled() && state.done == state.order.len();
        let Some(after) = self.script.after.get(state.shown.len().wrapping_sub(1)).filter(|_| complete) else {
            self.gave_up.cancel();
            return None;
        };
        after.iter().for_each(|part| self.parts.push(part.clone()));
        self.parts.complete();
        Some(state.shown.clone())
    }

    /// Writes what can be written by now.
    fn advance(&self, state: &mut State) {
        while let Some(&seat) = state.order.get(state.done).filter(|_| !self.gave_up.is_cancelled()) {
            let Some(draft) = state.drafts.get_mut(seat) else { return };
            let begins = draft.sent == 0;
            let (text, more) = match &draft.end {
                Some(Some(usable)) => (usable.as_str(), false),
                Some(None) if begins => {
                    state.done += 1;
                    continue;
                }
                Some(None) => return self.gave_up.cancel(),
                None => (settled(&draft.text), true),
            };
            if more && text.len() < draft.sent + PIECE_BYTES {
                return;
            }
            // What a text was said to begin with, it begins with; its tail may have been cut at another place.
            let Some(piece) = text.get(draft.sent..).filter(|_| draft.sent_begins(text)) else {
                return self.gave_up.cancel();
            };
            let piece = Part::Quoted { text: piece.to_owned(), max_tokens: 0, more };
            draft.sent = text.len();
            if begins {
                let place = state.shown.len();
                state.shown.push(seat);
                // The head is there from the start.
                if place > 0 {
                    self.script.before[place].iter().for_each(|part| self.parts.push(part.clone()));
                }
            }
            self.parts.push(piece);
            if more {
                return;
            }
            state.done += 1;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
