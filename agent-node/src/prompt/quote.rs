//! A quoted text that may come piece by piece, with the tokens of the whole.

use synod_models::text::Piece;

use super::{PartError, PromptTokenizer, Stretch};

/// A quoted text under way.
#[derive(Debug)]
pub(super) struct Quote {
    /// Which of the prompt's quoted texts.
    pub(super) index: usize,
    /// The tokens it may take; none where that is not known yet, and nothing can be sent.
    pub(super) most: Option<usize>,
    text: String,
    /// Bytes of the text that have been turned into tokens.
    settled: usize,
    /// Their tokens, as far as they may be sent. All of these have been.
    ids: Vec<u32>,
}

impl Quote {
    pub(super) fn new(index: usize, most: Option<usize>) -> Self {
        Self { index, most, text: String::new(), settled: 0, ids: Vec::new() }
    }

    /// More of the text, with more to come. Returns the tokens that are certain by now.
    pub(super) fn go_on(&mut self, more: &str, tokenizer: &impl PromptTokenizer) -> Vec<u32> {
        self.text.push_str(more);
        let Some(most) = self.most else { return Vec::new() };
        let Some(cut) = last_cut(&self.text[self.settled..]) else { return Vec::new() };
        let piece = self.text[self.settled..self.settled + cut].to_owned();
        self.settled += cut;
        let mut ids = tokenizer.encode(&[Piece::untrusted(piece)]);
        ids.truncate(most.saturating_sub(self.ids.len()));
        self.ids.extend(&ids);
        ids
    }

    /// The end of the text: how many tokens have been sent, and all of them.
    pub(super) fn finish(
        mut self,
        last: &str,
        tokenizer: &impl PromptTokenizer,
    ) -> Result<(usize, Stretch), PartError> {
        self.text.push_str(last);
        let stretch = Stretch::new(vec![Piece::untrusted(self.text)], tokenizer);
        let ids = &stretch.ids;
        // A cut inside a character moves back: then too much has been sent.
        let moved = self.most.is_some_and(|most| self.ids.len() == most && ids.len() > most)
            && ids.get(self.ids.len()).is_some_and(|id| tokenizer.continues_character(*id));
        if moved || !ids.starts_with(&self.ids) {
            return Err(PartError::Unstable);
        }
        Ok((self.ids.len(), stretch))
    }
}

/// Where the last word begins that follows another after one space: pre-tokenizers of the GPT-2 family split there
/// whatever comes next.
fn last_cut(text: &str) -> Option<usize> {
    let word = |c: Option<char>| c.is_some_and(char::is_alphabetic);
    let is_cut = |&at: &usize| word(text[..at].chars().next_back()) && word(text[at + 1..].chars().next());
    text.rmatch_indices(' ').map(|(at, _)| at).find(is_cut)
}
