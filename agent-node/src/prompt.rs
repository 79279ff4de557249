//! A prompt from messages and parts: when its tokens go to the engine, and what is cut so that it fits.
//!
//! Parts are appended to the last message's content, before the template's closing marks. Where one run of tokens ends
//! and the next begins depends on the parts and their order alone, never on when they come: the same request always gives
//! the same token ids.

mod quote;
mod stretch;

use quote::Quote;
pub(crate) use stretch::Stretch;
use synod_models::text::{Piece, Tokenizer};
use synod_proto::v1::QuotedCut;

use crate::host::wire;

/// What assembling a prompt asks of a tokenizer.
pub(crate) trait PromptTokenizer {
    /// Special tokens are recognised in trusted pieces only.
    fn encode(&self, pieces: &[Piece]) -> Vec<u32>;
    /// Whether the token begins inside a character that an earlier one began.
    fn continues_character(&self, id: u32) -> bool;
    /// The token that every prompt begins with, if the model wants one, and its text.
    fn opening_token(&self) -> Option<(u32, String)>;
}

impl PromptTokenizer for Tokenizer {
    fn encode(&self, pieces: &[Piece]) -> Vec<u32> {
        self.encode_pieces(pieces)
    }

    fn continues_character(&self, id: u32) -> bool {
        self.token_bytes(id).first().is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000)
    }

    fn opening_token(&self) -> Option<(u32, String)> {
        self.bos().filter(|_| self.add_bos()).map(|bos| (bos, self.token_text(bos)))
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
        /// Whether they go on in the next part.
        more: bool,
    },
}

/// A prompt without parts, tokenised as one text: its ids are those of any other implementation.
pub(crate) fn whole(pieces: Vec<Piece>, tokenizer: &impl PromptTokenizer) -> Completed {
    let stretch = Stretch::opening(pieces, tokenizer);
    Completed { ids: stretch.ids.clone(), cuts: Vec::new(), stretches: vec![stretch] }
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
    /// Quoted parts that were announced: they get their shares as they come.
    announced: usize,
    /// The quoted text that goes on in the next part.
    open: Option<Quote>,
    /// Tokens that the engine has.
    sent: usize,
    /// Quoted parts so far.
    quoted: usize,
    /// From the first quoted part on that has no allotment and was not announced.
    held: Vec<Held>,
    cuts: Vec<QuotedCut>,
    /// What stands before those held.
    stretches: Vec<Stretch>,
}

/// Tokens kept free for text between and after quoted parts that get their shares before it is known.
const TEXT_ROOM: usize = 512;

/// A part that waits until the room is known.
#[derive(Debug)]
enum Held {
    Text(Stretch),
    Quoted { index: usize, stretch: Stretch, most: usize },
}

/// Why a prompt in parts cannot be what the same prompt in whole is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PartError {
    /// Something else came where a quoted text was to go on.
    #[error("a quoted text with `more` must be followed by its next part, quoted too")]
    Unfinished,
    /// The tokens of the pieces are not those of the whole.
    #[error("this model's tokenizer reads the text otherwise in pieces than in whole: send it whole")]
    Unstable,
}

/// The end of a prompt.
#[derive(Debug, PartialEq)]
pub(crate) struct Completed {
    /// What the engine does not have yet.
    pub(crate) ids: Vec<u32>,
    /// In order of the quoted parts.
    pub(crate) cuts: Vec<QuotedCut>,
    /// All of the prompt.
    pub(crate) stretches: Vec<Stretch>,
}

impl Assembly {
    /// `max_tokens` is what the answer may take; a quarter of the context at most is kept free for it. `announced` is how
    /// many quoted parts without an allotment will come, or 0.
    pub(crate) fn new(
        (before, after): (Vec<Piece>, Vec<Piece>),
        context_length: usize,
        max_tokens: usize,
        announced: usize,
    ) -> Self {
        let reserve = max_tokens.min(context_length / 4).max(1);
        Self {
            before: Some(before),
            after,
            context_length,
            reserve,
            announced,
            open: None,
            sent: 0,
            quoted: 0,
            held: Vec::new(),
            cuts: Vec::new(),
            stretches: Vec::new(),
        }
    }

    /// Takes the next part; what it gives goes to the engine at once.
    pub(crate) fn push(&mut self, part: Part, tokenizer: &impl PromptTokenizer) -> Result<Vec<u32>, PartError> {
        let ids = match (self.before.take(), part) {
            // The conversation and text that directly follows it are one run.
            (Some(mut pieces), Part::Text(text)) => {
                pieces.push(Piece::untrusted(text));
                self.place(Stretch::opening(pieces, tokenizer))
            }
            (Some(pieces), quoted @ Part::Quoted { .. }) => {
                let mut ids = self.place(Stretch::opening(pieces, tokenizer));
                self.sent += ids.len();
                let rest = self.take(quoted, tokenizer)?;
                self.sent += rest.len();
                ids.extend(rest);
                return Ok(ids);
            }
            (None, part) => self.take(part, tokenizer)?,
        };
        self.sent += ids.len();
        Ok(ids)
    }

    fn take(&mut self, part: Part, tokenizer: &impl PromptTokenizer) -> Result<Vec<u32>, PartError> {
        let (text, allotment, more) = match part {
            Part::Text(_) if self.open.is_some() => return Err(PartError::Unfinished),
            Part::Text(text) => {
                let stretch = Stretch::new(vec![Piece::untrusted(text)], tokenizer);
                if self.held.is_empty() {
                    return Ok(self.place(stretch));
                }
                self.held.push(Held::Text(stretch));
                return Ok(Vec::new());
            }
            Part::Quoted { text, allotment, more } => (text, allotment, more),
        };
        let mut quote = self.open.take().unwrap_or_else(|| self.begin_quote(allotment, tokenizer));
        if more {
            let ids = quote.go_on(&text, tokenizer);
            self.open = Some(quote);
            return Ok(ids);
        }
        let (index, most) = (quote.index, quote.most);
        let (sent, stretch) = quote.finish(&text, tokenizer)?;
        match most {
            Some(most) => {
                let stretch = self.cut(index, stretch, most, tokenizer);
                Ok(self.place(stretch).split_off(sent))
            }
            None => {
                self.held.push(Held::Quoted { index, stretch, most: allotment.unwrap_or(usize::MAX) });
                Ok(Vec::new())
            }
        }
    }

    /// Puts a stretch at the prompt's end; its tokens.
    fn place(&mut self, stretch: Stretch) -> Vec<u32> {
        let ids = stretch.ids.clone();
        self.stretches.push(stretch);
        ids
    }

    /// A quote with its allotment, or its share of the room, or neither: it is then held until the prompt's end.
    fn begin_quote(&mut self, allotment: Option<usize>, tokenizer: &impl PromptTokenizer) -> Quote {
        let index = self.quoted;
        self.quoted += 1;
        let at_once = self.held.is_empty();
        let most = match allotment {
            Some(most) => Some(most).filter(|_| at_once),
            None => (at_once && index < self.announced).then(|| self.share(self.announced - index, tokenizer)),
        };
        Quote::new(index, most)
    }

    /// The next quote's share of the room, where so many are still to come. What one leaves, the next ones share.
    fn share(&self, to_come: usize, tokenizer: &impl PromptTokenizer) -> usize {
        let text = TEXT_ROOM.min(self.context_length / 8);
        let after = tokenizer.encode(&self.after).len();
        self.context_length.saturating_sub(self.sent + text + after + self.reserve) / to_come
    }

    /// Ends the prompt: parts that were held share the room that is left.
    pub(crate) fn complete(mut self, tokenizer: &impl PromptTokenizer) -> Result<Completed, PartError> {
        if self.open.is_some() {
            return Err(PartError::Unfinished);
        }
        let before = self.before.take();
        let mut ids = before.map(|pieces| self.place(Stretch::opening(pieces, tokenizer))).unwrap_or_default();
        self.sent += ids.len();
        let after = Stretch::new(std::mem::take(&mut self.after), tokenizer);
        let held = std::mem::take(&mut self.held);
        let shares = self.share_room(&held, after.ids.len());
        for (part, share) in held.into_iter().zip(shares) {
            let stretch = match part {
                Held::Text(stretch) => stretch,
                Held::Quoted { index, stretch, .. } => self.cut(index, stretch, share, tokenizer),
            };
            ids.extend(self.place(stretch));
        }
        ids.extend(self.place(after));
        Ok(Completed { ids, cuts: self.cuts, stretches: self.stretches })
    }

    /// Tokens for each held part. Text is kept whole, whether or not that fits: the engine says so if it does not.
    fn share_room(&self, held: &[Held], after: usize) -> Vec<usize> {
        let text: usize = held.iter().map(|part| if let Held::Text(text) = part { text.ids.len() } else { 0 }).sum();
        let room = self.context_length.saturating_sub(self.sent + text + after + self.reserve);
        let demand = |part: &Held| match part {
            Held::Text(_) => 0,
            Held::Quoted { stretch, most, .. } => stretch.ids.len().min(*most),
        };
        water_fill(&held.iter().map(demand).collect::<Vec<_>>(), room)
    }

    /// The head of quoted tokens, and a note of what is not in it.
    fn cut(&mut self, index: usize, mut stretch: Stretch, most: usize, tokenizer: &impl PromptTokenizer) -> Stretch {
        let ids = &stretch.ids;
        if ids.len() > most {
            let inside = |&end: &usize| tokenizer.continues_character(ids[end]);
            let kept = (1..=most).rev().find(|end| !inside(end)).unwrap_or(0);
            self.cuts.push(QuotedCut {
                quoted_index: wire(index),
                tokens_kept: wire(kept),
                tokens_cut: wire(ids.len() - kept),
            });
            stretch.truncate(kept);
        }
        stretch
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
