//! SentencePiece's BPE as Llama and Gemma use it: neighbours merge into the token with the best score, until none do.
//!
//! SentencePiece writes a space as `▁` (U+2581). Tokens are kept with real spaces here, and a `▁` in the text is read as a
//! space, which is what it is to the vocabulary.

use std::{cmp::Ordering, collections::BinaryHeap};

use super::{
    TokenizerError,
    token_index::TokenIndex,
    vocabulary::{Kind, Vocabulary},
};

/// The tokenizer for text without special tokens.
pub(super) struct SentencePiece {
    /// Normal tokens only, so that no text can merge into a control token.
    index: TokenIndex,
    scores: Vec<f32>,
    /// The token of each byte.
    bytes: [Option<u32>; 256],
    add_space_prefix: bool,
}

/// A run of text that is one token, or one character; a link in a list.
struct Symbol {
    start: usize,
    /// Zero once it was merged into the one before it.
    length: usize,
    previous: Option<usize>,
    next: Option<usize>,
}

/// Two neighbours that could become one token.
struct Pair {
    score: f32,
    left: usize,
    right: usize,
    /// Of both together, when the pair was found: it is outdated if they have another length now.
    length: usize,
}

impl SentencePiece {
    pub(super) fn new(
        vocabulary: &Vocabulary,
        scores: Vec<f32>,
        add_space_prefix: bool,
    ) -> Result<Self, TokenizerError> {
        if scores.len() != vocabulary.len() as usize {
            let message = format!("{} tokens but {} scores", vocabulary.len(), scores.len());
            return Err(TokenizerError::Inconsistent(message));
        }
        let of_kind = |kind| (0..vocabulary.len()).filter(move |&id| vocabulary.kind(id) == kind);
        let normal: Vec<u32> = of_kind(Kind::Normal).filter(|&id| !vocabulary.bytes(id).is_empty()).collect();
        let mut bytes = [None; 256];
        for id in of_kind(Kind::Byte) {
            if let [byte] = vocabulary.bytes(id) {
                bytes[usize::from(*byte)] = Some(id);
            }
        }
        // Adding zero turns -0 into 0, which must not come after it.
        let scores = scores.into_iter().map(|score| score + 0.0).collect();
        Ok(Self { index: TokenIndex::new(vocabulary, &normal), scores, bytes, add_space_prefix })
    }

    /// Appends the ids of `text`; `first` when it starts the prompt or follows a special token.
    pub(super) fn encode(&self, vocabulary: &Vocabulary, text: &str, first: bool, ids: &mut Vec<u32>) {
        let prefix = if first && self.add_space_prefix { " " } else { "" };
        let text = [prefix, text].concat().replace('\u{2581}', " ");
        for symbol in self.merge(vocabulary, text.as_bytes(), split_chars(&text)) {
            let bytes = &text.as_bytes()[symbol.start..symbol.start + symbol.length];
            match self.index.get(vocabulary, bytes) {
                Some(id) => ids.push(id),
                None => ids.extend(bytes.iter().filter_map(|&b| self.bytes[usize::from(b)].or(vocabulary.unknown))),
            }
        }
    }

    fn merge(
        &self,
        vocabulary: &Vocabulary,
        text: &[u8],
        mut symbols: Vec<Symbol>,
    ) -> impl Iterator<Item = Symbol> + use<> {
        let pair = |symbols: &[Symbol], left: Option<usize>, right: Option<usize>| {
            let (left, right) = (left?, right?);
            let start = symbols[left].start;
            let length = symbols[left].length + symbols[right].length;
            let id = self.index.get(vocabulary, &text[start..start + length])?;
            Some(Pair { score: self.scores[id as usize], left, right, length })
        };
        let mut pairs: BinaryHeap<Pair> =
            (1..symbols.len()).filter_map(|right| pair(&symbols, Some(right - 1), Some(right))).collect();
        while let Some(Pair { left, right, length, .. }) = pairs.pop() {
            let whole = symbols[left].length > 0 && symbols[right].length > 0;
            if !whole || symbols[left].length + symbols[right].length != length {
                continue;
            }
            let next = symbols[right].next;
            symbols[right].length = 0;
            symbols[left].length = length;
            symbols[left].next = next;
            if let Some(next) = next {
                symbols[next].previous = Some(left);
            }
            pairs.extend(pair(&symbols, symbols[left].previous, Some(left)));
            pairs.extend(pair(&symbols, Some(left), next));
        }
        symbols.into_iter().filter(|symbol| symbol.length > 0)
    }
}

fn split_chars(text: &str) -> Vec<Symbol> {
    let count = text.chars().count();
    let symbol = |(i, (start, c)): (usize, (usize, char))| Symbol {
        start,
        length: c.len_utf8(),
        previous: i.checked_sub(1),
        next: Some(i + 1).filter(|&next| next < count),
    };
    text.char_indices().enumerate().map(symbol).collect()
}

/// The best score comes first, and of equal ones the leftmost.
impl Ord for Pair {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then_with(|| other.left.cmp(&self.left))
    }
}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Pair {}
