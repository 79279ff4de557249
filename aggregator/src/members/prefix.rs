//! Which beginnings of conversations a node has read: what it still has in its cache it need not read again.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hasher},
};

use super::Call;
use crate::prompts::Part;

/// Bytes of a block; hashes are of whole blocks with all before them.
const BLOCK_BYTES: usize = 128;
/// Blocks of one prompt that are looked at: 64 KiB of it.
const MAX_BLOCKS: usize = 512;
/// Blocks remembered of one model on one node, at most twice this.
const REMEMBERED: usize = 4096;
/// Bytes of a token, roughly. Only ratios between nodes hang on it.
const BYTES_PER_TOKEN: usize = 4;

/// A prompt as a chain of hashes: equal up to a block means equal from the beginning to there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    chain: Vec<u64>,
    bytes: usize,
}

impl Fingerprint {
    /// Of what is known of the prompt.
    pub(super) fn of(call: &Call) -> Self {
        let mut chain = Chain::default();
        for message in &call.messages {
            chain.text(message.speaker.name());
            chain.text(&message.content);
        }
        for part in call.parts.so_far() {
            match &part {
                Part::Text(text) | Part::Quoted { text, .. } => chain.text(text),
            }
        }
        Self { chain: chain.hashes, bytes: chain.bytes }
    }

    /// Its length, roughly.
    pub(super) fn tokens(&self) -> usize {
        self.bytes / BYTES_PER_TOKEN
    }
}

#[derive(Default)]
struct Chain {
    hashes: Vec<u64>,
    state: DefaultHasher,
    filled: usize,
    bytes: usize,
}

impl Chain {
    fn text(&mut self, text: &str) {
        self.bytes += text.len();
        let mut rest = text.as_bytes();
        while !rest.is_empty() && self.hashes.len() < MAX_BLOCKS {
            let (now, later) = rest.split_at(rest.len().min(BLOCK_BYTES - self.filled));
            self.state.write(now);
            self.filled += now.len();
            if self.filled == BLOCK_BYTES {
                self.filled = 0;
                let hash = self.state.finish();
                self.hashes.push(hash);
            }
            rest = later;
        }
    }
}

/// The blocks read lately, in two generations: once the young one is full it becomes the old one, and that is forgotten.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    young: HashSet<u64>,
    old: HashSet<u64>,
}

impl Remembered {
    /// Tokens at the beginning of the prompt that were read here before.
    pub(super) fn shared_tokens(&self, prompt: &Fingerprint) -> usize {
        let known = |hash: &&u64| self.young.contains(hash) || self.old.contains(hash);
        prompt.chain.iter().take_while(known).count() * BLOCK_BYTES / BYTES_PER_TOKEN
    }

    /// The prompt is read here now.
    pub(super) fn add(&mut self, prompt: &Fingerprint) {
        if self.young.len() + prompt.chain.len() > REMEMBERED {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.extend(&prompt.chain);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::members::tests::call;

    /// Of a prompt with this text.
    pub(crate) fn fingerprint(text: &str) -> Fingerprint {
        Fingerprint::of(&call("m", text))
    }

    #[test]
    fn the_shared_beginning_counts_in_whole_blocks() {
        let question = "why is the sky blue? ".repeat(50);
        let mut node = Remembered::default();
        node.add(&fingerprint(&format!("{question} as an engineer")));
        let shared = node.shared_tokens(&fingerprint(&format!("{question} as a critic")));
        assert!((question.len() / 4 - 32..=question.len() / 4).contains(&shared), "{shared}");
        assert_eq!(node.shared_tokens(&fingerprint(&format!("x{question}"))), 0, "only from the beginning");
    }

    #[test]
    fn where_a_message_ends_changes_nothing_and_what_follows_does() {
        let text = "abc".repeat(200);
        let mut whole = Chain::default();
        whole.text(&text);
        let mut pieces = Chain::default();
        text.as_bytes().chunks(7).for_each(|chunk| pieces.text(std::str::from_utf8(chunk).unwrap()));
        assert_eq!(whole.hashes, pieces.hashes);
        assert_eq!(whole.hashes.len(), 4);
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_goes_first() {
        let mut node = Remembered::default();
        let prompt = |at: usize| fingerprint(&format!("{at:08}").repeat(1000));
        for at in 0..1000 {
            node.add(&prompt(at));
            assert!(node.young.len() <= REMEMBERED && node.old.len() <= REMEMBERED);
        }
        assert_eq!(node.shared_tokens(&prompt(0)), 0);
        assert!(node.shared_tokens(&prompt(999)) > 1900);
        assert_eq!(fingerprint(&"x".repeat(1 << 20)).chain.len(), MAX_BLOCKS);
    }
}
