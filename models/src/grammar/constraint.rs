//! One sequence's way through its grammar.

use std::sync::Arc;

use llguidance::Matcher;

use super::{GrammarError, TokenSet, error::plain};

/// Digits in a row of which a JSON text may have more only where it must. A double takes 17, but small models write zeros
/// behind a point without end.
const MOST_DIGITS: usize = 32;

/// What a constraint has to know of the vocabulary.
#[derive(Debug)]
pub(super) struct Vocabulary {
    /// Tokens that end a generation, sorted.
    pub(super) ends: Vec<u32>,
    pub(super) size: usize,
    /// How many digits each token is, 0 if it is anything else.
    pub(super) digits: Vec<u8>,
}

impl Vocabulary {
    fn is_end(&self, id: u32) -> bool {
        self.ends.binary_search(&id).is_ok()
    }

    fn digits(&self, id: u32) -> usize {
        self.digits.get(id as usize).copied().unwrap_or(0).into()
    }
}

/// Follows the tokens of one sequence and says which may come next.
///
/// Whatever is accepted, the text so far is the beginning of a text of the grammar; where [`may_stop`](Self::may_stop), it is
/// a text of the grammar. A clone goes its own way; the two share a cache of lexer states, so that a mask of one waits
/// for a mask of the other.
#[derive(Clone)]
pub struct Constraint {
    matcher: Matcher,
    vocabulary: Arc<Vocabulary>,
    /// What may come next, until something came.
    mask: Option<TokenSet>,
    /// Where digits come to an end: with how many in a row the text ended after each accepted token.
    digits: Option<Vec<usize>>,
    /// Tokens accepted, ends not counted.
    length: usize,
    /// Ends accepted.
    ends: usize,
}

impl Constraint {
    pub(super) fn new(matcher: Matcher, vocabulary: Arc<Vocabulary>) -> Self {
        Self { matcher, vocabulary, mask: None, digits: None, length: 0, ends: 0 }
    }

    /// With numbers that come to an end.
    pub(super) fn with_bounded_digits(self) -> Self {
        Self { digits: Some(Vec::new()), ..self }
    }

    /// The tokens that may come next, ends of generation among them where the text may end. Computed once for each place,
    /// in some 10 µs to a few ms; a good thing to do while the model computes its logits.
    ///
    /// Where only one text can follow, this is the token that the model would write it with.
    ///
    /// # Errors
    /// When nothing can follow, or finding out is more than the limits allow. The constraint is of no use then.
    pub fn mask(&mut self) -> Result<&TokenSet, GrammarError> {
        let mask = match self.mask.take() {
            Some(mask) => mask,
            None => self.compute_mask()?,
        };
        Ok(self.mask.insert(mask))
    }

    fn compute_mask(&mut self) -> Result<TokenSet, GrammarError> {
        let Vocabulary { ends, size, .. } = &*self.vocabulary;
        if self.is_finished() {
            return Ok(TokenSet::of(ends, *size));
        }
        let mask = self.matcher.compute_mask().map_err(|error| follow(&error))?;
        let mask = TokenSet::new(mask.into(), *size);
        let digits = self.digits.as_ref().and_then(|digits| digits.last());
        if digits.is_some_and(|&digits| digits >= MOST_DIGITS) {
            let shorter = mask.iter().filter(|&id| self.vocabulary.digits(id) == 0).collect::<Vec<_>>();
            if !shorter.is_empty() {
                return Ok(TokenSet::of(&shorter, *size));
            }
        }
        Ok(mask)
    }

    /// Goes on behind a token that may come next.
    fn consume(&mut self, id: u32) -> Result<(), GrammarError> {
        self.matcher.consume_token(id).map_err(|error| follow(&error))?;
        self.length += 1;
        if let Some(digits) = &mut self.digits {
            let more = self.vocabulary.digits(id);
            let before = digits.last().copied().unwrap_or(0);
            digits.push(if more > 0 { before + more } else { 0 });
        }
        Ok(())
    }

    /// Follows a token.
    ///
    /// # Errors
    /// When it may not come next; nothing has changed then. When following it is more than the limits allow; the
    /// constraint is of no use then.
    pub fn accept(&mut self, id: u32) -> Result<(), GrammarError> {
        if self.vocabulary.is_end(id) {
            if !self.may_stop() {
                return Err(GrammarError::NotAllowed { id });
            }
            self.ends += 1;
        } else {
            // The parser is of no use after a wrong token, so it is asked first.
            if self.allows(&[id])? == 0 {
                return Err(GrammarError::NotAllowed { id });
            }
            self.consume(id)?;
        }
        self.mask = None;
        Ok(())
    }

    /// The tokens that must come next, as the model's own tokenizer writes their text; none where there is a choice. They can
    /// be accepted without asking the model.
    ///
    /// # Errors
    /// As [`mask`](Self::mask).
    pub fn forced(&mut self) -> Result<Vec<u32>, GrammarError> {
        if self.is_finished() {
            return Ok(Vec::new());
        }
        let forced = self.matcher.compute_ff_tokens();
        match self.matcher.get_error() {
            Some(error) => Err(follow(&error)),
            None => Ok(forced),
        }
    }

    /// How many of these tokens could be accepted one after another. The constraint stays where it is.
    ///
    /// These may be more than masks would let through: text that has to follow may be cut into tokens in any way here.
    ///
    /// # Errors
    /// When finding out is more than the limits allow. The constraint is of no use then.
    pub fn allows(&mut self, ids: &[u32]) -> Result<usize, GrammarError> {
        let text =
            ids.iter().take_while(|&&id| (id as usize) < self.vocabulary.size && !self.vocabulary.is_end(id)).count();
        let allowed = if self.is_finished() || text == 0 {
            0
        } else {
            self.matcher.validate_tokens(&ids[..text]).map_err(|error| follow(&error))?
        };
        if allowed < text || !ids.get(text).is_some_and(|&id| self.vocabulary.is_end(id)) {
            return Ok(allowed);
        }
        // All of the text, then an end: is it one there?
        let before = self.clone_place();
        for &id in &ids[..text] {
            self.consume(id)?;
        }
        let ends =
            if self.may_stop() { ids[text..].iter().take_while(|&&id| self.vocabulary.is_end(id)).count() } else { 0 };
        self.return_to(before)?;
        Ok(allowed + ends)
    }

    /// The masks before each of these tokens and after the last, as many as can be reached. The constraint stays where it
    /// is. For checking a draft: position i of the model's rows is drawn under mask i.
    ///
    /// # Errors
    /// As [`mask`](Self::mask).
    pub fn masks_along(&mut self, ids: &[u32]) -> Result<Vec<TokenSet>, GrammarError> {
        let mut masks = vec![self.mask()?.clone()];
        for (done, &id) in ids.iter().enumerate() {
            if !masks[done].contains(id) {
                self.rollback(done)?;
                return Ok(masks);
            }
            self.accept(id)?;
            masks.push(self.mask()?.clone());
        }
        self.rollback(ids.len())?;
        Ok(masks)
    }

    /// Whether the text so far is whole: it matches the grammar, though more may follow.
    pub fn may_stop(&mut self) -> bool {
        self.ends > 0 || self.matcher.is_accepting().unwrap_or(false)
    }

    /// Whether the text is whole and nothing can follow, or an end was accepted. The sequence ends here; it need not draw
    /// an end of generation.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.ends > 0 || (self.matcher.is_stopped() && !self.matcher.is_error())
    }

    /// Takes back the last `count` accepted tokens.
    ///
    /// # Errors
    /// When there are not so many.
    pub fn rollback(&mut self, count: usize) -> Result<(), GrammarError> {
        let length = self.length + self.ends;
        if count > length {
            return Err(GrammarError::Rollback { asked: count, length });
        }
        let ends = count.min(self.ends);
        self.return_to((self.length - (count - ends), self.ends - ends))
    }

    /// Tokens accepted so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.length + self.ends
    }

    fn clone_place(&self) -> (usize, usize) {
        (self.length, self.ends)
    }

    fn return_to(&mut self, (length, ends): (usize, usize)) -> Result<(), GrammarError> {
        self.matcher.rollback(self.length - length).map_err(|error| follow(&error))?;
        if let Some(digits) = &mut self.digits {
            digits.truncate(length);
        }
        if (length, ends) != (self.length, self.ends) {
            self.mask = None;
        }
        (self.length, self.ends) = (length, ends);
        Ok(())
    }
}

impl std::fmt::Debug for Constraint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { length, ends, .. } = self;
        f.debug_struct("Constraint").field("length", length).field("ends", ends).finish_non_exhaustive()
    }
}

fn follow(error: &impl ToString) -> GrammarError {
    GrammarError::Follow(plain(error))
}
