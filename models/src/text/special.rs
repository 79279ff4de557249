//! Finding special tokens in text, before anything else looks at it.
//!
//! As in llama.cpp, user-defined tokens (runs of white space, HTML tags) are taken wherever their text is; control tokens
//! only where the text is trusted.

use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind};

use super::{
    Piece, TokenizerError,
    vocabulary::{Kind, Vocabulary},
};

/// Matchers for the special tokens of a vocabulary.
pub(super) struct SpecialTokens {
    control: Matcher,
    user_defined: Matcher,
}

/// A part of a prompt between or at special tokens.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    Token(u32),
    Text(Range<usize>),
}

impl SpecialTokens {
    pub(super) fn new(vocabulary: &Vocabulary) -> Result<Self, TokenizerError> {
        Ok(Self {
            control: Matcher::new(vocabulary, Kind::Control)?,
            user_defined: Matcher::new(vocabulary, Kind::UserDefined)?,
        })
    }

    /// Whether the text of a control token is anywhere in `text`.
    pub(super) fn has_control(&self, text: &str) -> bool {
        self.control.find(text).next().is_some()
    }

    /// Takes `text`, the pieces joined, apart. A control token counts only when it lies inside one trusted piece.
    pub(super) fn split(&self, pieces: &[Piece], text: &str) -> Vec<Part> {
        let mut parts = vec![];
        let (mut done, mut start) = (0, 0);
        for piece in pieces {
            if piece.trusted {
                for (id, found) in self.control.find(&piece.text) {
                    self.split_user_defined(text, done..start + found.start, &mut parts);
                    parts.push(Part::Token(id));
                    done = start + found.end;
                }
            }
            start += piece.text.len();
        }
        self.split_user_defined(text, done..text.len(), &mut parts);
        parts
    }

    fn split_user_defined(&self, text: &str, range: Range<usize>, parts: &mut Vec<Part>) {
        let mut done = range.start;
        for (id, found) in self.user_defined.find(&text[range.clone()]) {
            push_text(parts, done..range.start + found.start);
            parts.push(Part::Token(id));
            done = range.start + found.end;
        }
        push_text(parts, done..range.end);
    }
}

fn push_text(parts: &mut Vec<Part>, range: Range<usize>) {
    if !range.is_empty() {
        parts.push(Part::Text(range));
    }
}

/// All tokens of one kind; of those that start at the same place, the longest is found.
struct Matcher {
    automaton: AhoCorasick,
    ids: Vec<u32>,
}

impl Matcher {
    fn new(vocabulary: &Vocabulary, kind: Kind) -> Result<Self, TokenizerError> {
        // An empty token would be found between any two bytes.
        let of_kind = |&id: &u32| vocabulary.kind(id) == kind && !vocabulary.bytes(id).is_empty();
        let ids: Vec<u32> = (0..vocabulary.len()).filter(of_kind).collect();
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(ids.iter().map(|&id| vocabulary.bytes(id)))
            .map_err(|error| TokenizerError::Matcher(error.into()))?;
        Ok(Self { automaton, ids })
    }

    fn find<'a>(&'a self, text: &'a str) -> impl Iterator<Item = (u32, Range<usize>)> + 'a {
        self.automaton.find_iter(text).map(|found| (self.ids[found.pattern().as_usize()], found.range()))
    }
}
