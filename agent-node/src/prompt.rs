//! A prompt from messages and parts: when its tokens go to the engine, and what is cut so that it fits.
//!
//! Parts are appended to the last message's content, before the template's closing marks. Where one run of tokens ends
//! and the next begins depends on the parts and their order alone, never on when they come: the same request always gives
//! the same token ids.

use synod_models::text::{Piece, Tokenizer};
use synod_proto::v1::QuotedCut;

use crate::host::wire;

/// What assembling a prompt asks of a tokenizer.
pub(crate) trait PromptTokenizer {
    /// Special tokens are recognised in trusted pieces only.
    fn encode(&self, pieces: &[Piece]) -> Vec<u32>;
    /// Whether the token begins inside a character that an earlier one began.
    fn continues_character(&self, id: u32) -> bool;
    /// The token that every prompt begins with, if the model wants one.
    fn opening_token(&self) -> Option<u32>;
}

impl PromptTokenizer for Tokenizer {
    fn encode(&self, pieces: &[Piece]) -> Vec<u32> {
        self.encode_pieces(pieces)
    }

    fn continues_character(&self, id: u32) -> bool {
        self.token_bytes(id).first().is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000)
    }

    fn opening_token(&self) -> Option<u32> {
        if self.add_bos() { self.bos() } else { None }
    }
}

/// What is appended to the last message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// Words of the prompt's author, kept whole.
    Text(String),
    /// Words of somebody else.
    Quoted {
        /// The words.
        text: String,
        /// The most tokens they may take; none to share what room there is.
        allotment: Option<usize>,
    },
}

/// A prompt without parts, tokenised as one text: its ids are those of any other implementation.
pub(crate) fn whole(pieces: &[Piece], tokenizer: &impl PromptTokenizer) -> Vec<u32> {
    let mut ids = tokenizer.encode(pieces);
    // Many templates write it themselves.
    if let Some(opening) = tokenizer.opening_token().filter(|opening| ids.first() != Some(opening)) {
        ids.insert(0, opening);
    }
    ids
}

/// A prompt in parts, in the making.
#[derive(Debug)]
pub(crate) struct Assembly {
    /// The conversation up to the end of the last message's content; taken by the first part.
    before: Option<Vec<Piece>>,
    /// The rest of the conversation.
    after: Vec<Piece>,
    context_length: usize,
    /// Tokens kept free for the answer when quoted parts share the room.
    reserve: usize,
    /// Tokens that the engine has.
    sent: usize,
    /// Quoted parts so far.
    quoted: usize,
    /// From the first quoted part without an allotment on.
    held: Vec<Held>,
    cuts: Vec<QuotedCut>,
}

/// A part that waits until the room is known.
#[derive(Debug)]
enum Held {
    Text(Vec<u32>),
    Quoted { index: usize, ids: Vec<u32>, most: usize },
}

/// The end of a prompt.
#[derive(Debug, PartialEq)]
pub(crate) struct Completed {
    /// What the engine does not have yet.
    pub(crate) ids: Vec<u32>,
    /// In order of the quoted parts.
    pub(crate) cuts: Vec<QuotedCut>,
}

impl Assembly {
    /// `max_tokens` is what the answer may take; a quarter of the context at most is kept free for it.
    pub(crate) fn new((before, after): (Vec<Piece>, Vec<Piece>), context_length: usize, max_tokens: usize) -> Self {
        let reserve = max_tokens.min(context_length / 4).max(1);
        let (held, cuts) = (Vec::new(), Vec::new());
        Self { before: Some(before), after, context_length, reserve, sent: 0, quoted: 0, held, cuts }
    }

    /// Takes the next part; what it gives goes to the engine at once.
    pub(crate) fn push(&mut self, part: Part, tokenizer: &impl PromptTokenizer) -> Vec<u32> {
        let ids = match (self.before.take(), part) {
            // The conversation and text that directly follows it are one run.
            (Some(mut pieces), Part::Text(text)) => {
                pieces.push(Piece::untrusted(text));
                whole(&pieces, tokenizer)
            }
            (Some(pieces), quoted @ Part::Quoted { .. }) => {
                let mut ids = whole(&pieces, tokenizer);
                ids.extend(self.take(quoted, tokenizer));
                ids
            }
            (None, part) => self.take(part, tokenizer),
        };
        self.sent += ids.len();
        ids
    }

    fn take(&mut self, part: Part, tokenizer: &impl PromptTokenizer) -> Vec<u32> {
        let untrusted = |text| tokenizer.encode(&[Piece::untrusted(text)]);
        let held = match part {
            Part::Text(text) if self.held.is_empty() => return untrusted(text),
            Part::Text(text) => Held::Text(untrusted(text)),
            Part::Quoted { text, allotment } => {
                let (index, ids) = (self.quoted, untrusted(text));
                self.quoted += 1;
                match allotment {
                    Some(most) if self.held.is_empty() => return self.cut(index, ids, most, tokenizer),
                    most => Held::Quoted { index, ids, most: most.unwrap_or(usize::MAX) },
                }
            }
        };
        self.held.push(held);
        Vec::new()
    }

    /// Ends the prompt: parts that were held share the room that is left.
    pub(crate) fn complete(mut self, tokenizer: &impl PromptTokenizer) -> Completed {
        let mut ids = self.before.take().map(|pieces| whole(&pieces, tokenizer)).unwrap_or_default();
        self.sent += ids.len();
        let after = tokenizer.encode(&self.after);
        let held = std::mem::take(&mut self.held);
        let shares = self.share_room(&held, after.len());
        for (part, share) in held.into_iter().zip(shares) {
            match part {
                Held::Text(text) => ids.extend(text),
                Held::Quoted { index, ids: quoted, .. } => ids.extend(self.cut(index, quoted, share, tokenizer)),
            }
        }
        ids.extend(after);
        Completed { ids, cuts: self.cuts }
    }

    /// Tokens for each held part. Text is kept whole, whether or not that fits: the engine says so if it does not.
    fn share_room(&self, held: &[Held], after: usize) -> Vec<usize> {
        let text: usize = held.iter().map(|part| if let Held::Text(ids) = part { ids.len() } else { 0 }).sum();
        let room = self.context_length.saturating_sub(self.sent + text + after + self.reserve);
        let demand = |part: &Held| match part {
            Held::Text(_) => 0,
            Held::Quoted { ids, most, .. } => ids.len().min(*most),
        };
        water_fill(&held.iter().map(demand).collect::<Vec<_>>(), room)
    }

    /// The head of quoted tokens, and a note of what is not in it.
    fn cut(&mut self, index: usize, mut ids: Vec<u32>, most: usize, tokenizer: &impl PromptTokenizer) -> Vec<u32> {
        if ids.len() > most {
            let inside = |&end: &usize| tokenizer.continues_character(ids[end]);
            let kept = (1..=most).rev().find(|end| !inside(end)).unwrap_or(0);
            self.cuts.push(QuotedCut {
                quoted_index: wire(index),
                tokens_kept: wire(kept),
                tokens_cut: wire(ids.len() - kept),
            });
            ids.truncate(kept);
        }
        ids
    }
}

/// Shares `room` so that no demand gets more than it asks for, and what one leaves goes to the others, evenly.
fn water_fill(demands: &[usize], room: usize) -> Vec<usize> {
    let mut shares = vec![0; demands.len()];
    let mut order: Vec<usize> = (0..demands.len()).collect();
    // The smallest first: what it leaves is known before the others take theirs. Ties keep the order of the parts.
    order.sort_by_key(|&index| demands[index]);
    let mut left = room;
    for (served, &index) in order.iter().enumerate() {
        shares[index] = demands[index].min(left / (order.len() - served));
        left -= shares[index];
    }
    shares
}

#[cfg(test)]
mod tests;
