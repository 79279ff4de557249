//! The tokens of a step.

use std::ops::Range;

use crate::{KvCache, kv::BLOCK_TOKENS};

/// One token of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchRow {
    /// Index into [`Batch::tables`].
    pub sequence: usize,
    /// The token's place in its sequence, from 0.
    pub position: usize,
}

/// The tokens of a step: any number of sequences, each with any number of consecutive new tokens (a ragged batch). A
/// sequence's rows lie together, in order of position.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// The tokens.
    pub rows: Vec<BatchRow>,
    /// For each sequence the cache blocks that hold its positions, 64 a block. Sequences may have their first blocks in
    /// common.
    pub tables: Vec<Vec<u32>>,
}

impl Batch {
    /// Asserts what the unsafe code relies on: rows are distinct places that exist.
    pub(crate) fn check(&self, cache: &KvCache) {
        for pair in self.rows.windows(2) {
            let (a, b) = (pair[0], pair[1]);
            assert!(a.sequence < b.sequence || (a.sequence == b.sequence && a.position + 1 == b.position));
        }
        for row in &self.rows {
            let block = self.tables[row.sequence][row.position / BLOCK_TOKENS];
            assert!((block as usize) < cache.blocks());
        }
    }

    /// The blocks that the rows of `run` see.
    pub(super) fn blocks(&self, run: &Range<usize>) -> &[u32] {
        let last = self.rows[run.end - 1];
        &self.tables[last.sequence][..=last.position / BLOCK_TOKENS]
    }
}
