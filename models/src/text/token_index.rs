//! Tokens by their bytes: a hash table of ids that takes the bytes from the vocabulary instead of holding copies.

use std::hash::{BuildHasher, RandomState};

use super::vocabulary::Vocabulary;

/// Slots of no token.
const EMPTY: u32 = u32::MAX;

pub(super) struct TokenIndex {
    /// Open addressing, at most half full; the length is a power of two.
    slots: Vec<u32>,
    /// Keyed at random, so that no file can choose tokens that all collide.
    hasher: RandomState,
}

impl TokenIndex {
    /// An index of the tokens `ids`. Of tokens with the same bytes, the last one counts, as in llama.cpp.
    pub(super) fn new(vocabulary: &Vocabulary, ids: &[u32]) -> Self {
        let slots = vec![EMPTY; (ids.len() * 2).next_power_of_two()];
        let mut index = Self { slots, hasher: RandomState::new() };
        for &id in ids {
            let slot = index.slot(vocabulary, vocabulary.bytes(id));
            index.slots[slot] = id;
        }
        index
    }

    pub(super) fn get(&self, vocabulary: &Vocabulary, bytes: &[u8]) -> Option<u32> {
        Some(self.slots[self.slot(vocabulary, bytes)]).filter(|&id| id != EMPTY)
    }

    /// The slot that holds the token `bytes`, or the free one where it would be.
    fn slot(&self, vocabulary: &Vocabulary, bytes: &[u8]) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = self.hasher.hash_one(bytes) as usize & mask;
        // Ends: at least one slot is free.
        while self.slots[slot] != EMPTY && vocabulary.bytes(self.slots[slot]) != bytes {
            slot = (slot + 1) & mask;
        }
        slot
    }
}
