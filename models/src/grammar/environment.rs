//! Our vocabularies as llguidance wants them.

use std::{collections::HashMap, sync::Arc};

use llguidance::toktrie::{INVALID_TOKEN, TokRxInfo, TokTrie, TokenizerEnv};

use super::GrammarError;
use crate::text::Tokenizer;

/// Longer tokens are left out: the trie has a level for each byte. Their text can be written with others.
const MAX_TOKEN_BYTES: usize = 512;
/// The trie counts nodes in 22 bits. Vocabularies of 262,144 tokens have some 700,000.
const MAX_TRIE_BYTES: usize = 4_000_000;

/// A tokenizer and the trie of its vocabulary.
pub(super) struct Environment {
    tokenizer: Arc<Tokenizer>,
    trie: TokTrie,
}

impl Environment {
    pub(super) fn new(tokenizer: Arc<Tokenizer>) -> Result<Self, GrammarError> {
        let words = words(&tokenizer);
        let bytes = words.iter().map(Vec::len).sum::<usize>();
        if words.is_empty() || bytes > MAX_TRIE_BYTES {
            return Err(GrammarError::Vocabulary(format!("its {} tokens have {bytes} bytes", words.len())));
        }
        let ends = ends(&tokenizer);
        let eos = ends.first().copied().unwrap_or(INVALID_TOKEN);
        // Not cut: a vocabulary has at most 16 Mi tokens.
        let mut trie = TokTrie::from(&TokRxInfo::new(words.len() as u32, eos), &words);
        if ends.len() > 1 {
            trie = trie.with_eos_tokens(&ends);
        }
        Ok(Self { tokenizer, trie })
    }
}

impl TokenizerEnv for Environment {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<u32> {
        self.trie.tokenize_with_greedy_fallback(bytes, |text| self.tokenizer.encode_continuation(text))
    }
}

/// Tokens that end a generation.
pub(super) fn ends(tokenizer: &Tokenizer) -> Vec<u32> {
    (0..tokenizer.vocab_size() as u32).filter(|&id| tokenizer.is_end_of_generation(id)).collect()
}

/// How many digits each token is, 0 if it is anything else.
pub(super) fn digits(tokenizer: &Tokenizer) -> Vec<u8> {
    let digits = |id| match tokenizer.token_bytes(id) {
        bytes if bytes.iter().all(u8::is_ascii_digit) => u8::try_from(bytes.len()).unwrap_or(u8::MAX),
        _ => 0,
    };
    (0..tokenizer.vocab_size() as u32).map(digits).collect()
}

/// The bytes of each token; none for those that no text is written with. Marks for the model begin with 0xFF, which is in
/// no text.
fn words(tokenizer: &Tokenizer) -> Vec<Vec<u8>> {
    let ids = 0..tokenizer.vocab_size() as u32;
    let mut best: HashMap<&[u8], u32> = HashMap::new();
    for id in ids.clone().filter(|&id| is_text(tokenizer, id)) {
        let kept = best.entry(tokenizer.token_bytes(id)).or_insert(id);
        if rank(tokenizer, id) > rank(tokenizer, *kept) {
            *kept = id;
        }
    }
    let word = |id| {
        let bytes = tokenizer.token_bytes(id);
        if best.get(bytes) == Some(&id) {
            bytes.to_vec()
        } else if tokenizer.is_control(id) || tokenizer.is_end_of_generation(id) {
            let name = tokenizer.token_text(id);
            let mut word = [&[TokTrie::SPECIAL_TOKEN_MARKER], name.as_bytes()].concat();
            word.truncate(MAX_TOKEN_BYTES);
            word
        } else {
            Vec::new()
        }
    };
    ids.map(word).collect()
}

fn is_text(tokenizer: &Tokenizer, id: u32) -> bool {
    let bytes = tokenizer.token_bytes(id);
    let usable = (1..=MAX_TOKEN_BYTES).contains(&bytes.len()) && bytes[0] != TokTrie::SPECIAL_TOKEN_MARKER;
    usable && !tokenizer.is_end_of_generation(id)
}

/// Of two tokens with the same bytes, the tokenizer (and so the model) writes the one with the higher rank; the trie holds
/// one of them.
fn rank(tokenizer: &Tokenizer, id: u32) -> u8 {
    match id {
        _ if tokenizer.is_user_defined(id) => 2,
        _ if tokenizer.is_byte(id) => 0,
        _ => 1,
    }
}
