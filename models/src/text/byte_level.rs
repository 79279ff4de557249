//! Byte-level BPE, the tokenizer family of GPT-2: text is split into words, each byte of a word is written as a printable
//! character, and pairs are merged by rank.

use std::collections::HashSet;

use tokenizers::{
    Model,
    models::bpe::{BPE, Merges, Vocab},
};

use super::{TokenizerError, pretokenize::Pretokenizer, vocabulary::Kind};

/// GPT-2's printable stand-ins for bytes: printable Latin-1 stands for itself, the rest is counted up from U+0100.
pub(super) fn byte_to_char(byte: u8) -> char {
    let code = match byte {
        b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => u32::from(byte),
        0..=0x20 => 0x100 + u32::from(byte),
        0x7f..=0xa0 => 0x100 + 0x21 + u32::from(byte - 0x7f),
        0xad => 0x100 + 0x43,
    };
    // All of these are below the surrogates.
    char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The byte that a stand-in is for.
pub(super) fn char_to_byte(c: char) -> Option<u8> {
    (0..=255).find(|&byte| byte_to_char(byte) == c)
}

/// The bytes that a token's text stands for; characters that are no stand-ins stand for themselves.
pub(super) fn decode_token(text: &str, bytes: &mut Vec<u8>, table: &CharTable) {
    for c in text.chars() {
        match table.byte(c) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// Stand-ins to bytes, by code point.
pub(super) struct CharTable([Option<u8>; 0x144]);

impl CharTable {
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|code| char::from_u32(code as u32).and_then(char_to_byte)))
    }

    fn byte(&self, c: char) -> Option<u8> {
        self.0.get(c as usize).copied().flatten()
    }
}

/// The tokenizer for text without special tokens.
pub(super) struct ByteLevelBpe {
    pretokenizer: Pretokenizer,
    bpe: BPE,
    /// The stand-in of each byte, or `None` where the vocabulary has no token for it.
    stand_ins: [Option<char>; 256],
}

impl ByteLevelBpe {
    /// Builds the merges. Tokens of any kind but normal are left out, so that no text can merge into a control token.
    pub(super) fn new(
        pretokenizer: Pretokenizer,
        tokens: &[&str],
        kind: impl Fn(usize) -> Kind,
        merges: &[&str],
    ) -> Result<Self, TokenizerError> {
        let (normal, other): (Vec<_>, Vec<_>) = (0..tokens.len()).partition(|&id| kind(id) == Kind::Normal);
        let vocab: Vocab = normal.into_iter().map(|id| (tokens[id].to_owned(), id as u32)).collect();
        let other: HashSet<&str> = other.into_iter().map(|id| tokens[id]).collect();
        let merges = parse_merges(merges, &vocab, &other)?;
        let stand_ins = std::array::from_fn(|byte| {
            let c = byte_to_char(byte as u8);
            vocab.contains_key(c.encode_utf8(&mut [0; 4]) as &str).then_some(c)
        });
        let bpe = BPE::builder()
            .vocab_and_merges(vocab, merges)
            .ignore_merges(pretokenizer.ignores_merges())
            // The crate's cache lives in each thread for ever and would tell one user's words from another's by time.
            .cache_capacity(0)
            .build()
            .map_err(TokenizerError::Merges)?;
        Ok(Self { pretokenizer, bpe, stand_ins })
    }

    /// Appends the ids of `text`. A byte without a token is left out, as llama.cpp does, and separates its neighbours.
    pub(super) fn encode(&self, text: &str, ids: &mut Vec<u32>) {
        let mut word = String::new();
        self.pretokenizer.split(text, &mut |part| {
            for byte in part.bytes() {
                match self.stand_ins[usize::from(byte)] {
                    Some(c) => word.push(c),
                    None => self.encode_word(&mut word, ids),
                }
            }
            self.encode_word(&mut word, ids);
        });
    }

    fn encode_word(&self, word: &mut String, ids: &mut Vec<u32>) {
        // Cannot fail: without dropout and unknown token, the model has no error to give.
        if let Ok(tokens) = self.bpe.tokenize(word) {
            ids.extend(tokens.into_iter().map(|token| token.id));
        }
        word.clear();
    }
}

/// Merges as pairs, in order of rank, without those that touch a token in `other`.
fn parse_merges(merges: &[&str], vocab: &Vocab, other: &HashSet<&str>) -> Result<Merges, TokenizerError> {
    let mut pairs = Merges::with_capacity(merges.len());
    for (rank, merge) in merges.iter().enumerate() {
        // The first character belongs to the left token even if it is a space.
        let space = merge.char_indices().skip(1).find(|&(_, c)| c == ' ');
        let Some((left, right)) = space.map(|(at, _)| (&merge[..at], &merge[at + 1..])) else {
            return Err(TokenizerError::Inconsistent(format!("merge {rank} ({merge:?}) is not two tokens")));
        };
        let merged = [left, right].concat();
        let parts = [left, right, &merged];
        if parts.iter().all(|part| vocab.contains_key(*part)) {
            pairs.push((left.to_owned(), right.to_owned()));
        } else if !parts.iter().any(|part| other.contains(part)) {
            return Err(TokenizerError::Inconsistent(format!("merge {rank} ({merge:?}) is not of tokens")));
        }
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_one_printable_stand_in() {
        let chars: HashSet<char> = (0..=255).map(byte_to_char).collect();
        assert_eq!(chars.len(), 256);
        assert!(chars.iter().all(|c| !c.is_whitespace() && !c.is_control()));
        assert_eq!(
            (byte_to_char(b' '), byte_to_char(b'\n'), byte_to_char(0xad), byte_to_char(0x7f)),
            ('Ġ', 'Ċ', 'Ń', 'ġ')
        );
        let table = CharTable::new();
        assert!((0..=255).all(|byte| table.byte(byte_to_char(byte)) == Some(byte)));
        assert_eq!(table.byte('€'), None);
    }
}
