//! The tokens of a step, and how attention divides them.

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

/// Rows that are attended together.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// Row indices, each range of one sequence.
    pub(super) runs: Vec<Range<usize>>,
    /// How many blocks all of them begin with.
    pub(super) shared: usize,
}

impl Item {
    pub(super) fn rows(&self) -> usize {
        self.runs.iter().map(Range::len).sum()
    }
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

    /// Divides the rows into items of at most `most` rows: pieces of one sequence, or whole shares of sequences that have
    /// their first blocks in common (Hydragen, arXiv 2402.05099).
    pub(super) fn items(&self, most: usize) -> Vec<Item> {
        let mut items: Vec<Item> = Vec::new();
        for run in self.runs(most) {
            let joined = items.iter_mut().rev().find_map(|item| {
                let shared = common(self.blocks(&item.runs[0])[..item.shared].iter(), self.blocks(&run).iter());
                (shared > 0 && item.rows() + run.len() <= most).then_some((item, shared))
            });
            match joined {
                Some((item, shared)) => {
                    item.shared = shared;
                    item.runs.push(run);
                }
                None => items.push(Item { shared: self.blocks(&run).len(), runs: vec![run] }),
            }
        }
        items
    }

    /// Runs of at most `most` rows of one sequence, as ranges of row indices.
    fn runs(&self, most: usize) -> Vec<Range<usize>> {
        let mut runs: Vec<Range<usize>> = Vec::new();
        for (index, row) in self.rows.iter().enumerate() {
            match runs.last_mut() {
                Some(run) if run.len() < most && self.rows[run.start].sequence == row.sequence => run.end = index + 1,
                _ => runs.push(index..index + 1),
            }
        }
        runs
    }
}

fn common<'a>(a: impl Iterator<Item = &'a u32>, b: impl Iterator<Item = &'a u32>) -> usize {
    a.zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(rows: &[(usize, usize)], tables: &[&[u32]]) -> Batch {
        let rows = rows.iter().map(|&(sequence, position)| BatchRow { sequence, position }).collect();
        Batch { rows, tables: tables.iter().map(|table| table.to_vec()).collect() }
    }

    #[test]
    fn sequences_with_a_common_beginning_are_taken_together() {
        let tables: [&[u32]; 4] = [&[1, 2, 3], &[1, 2, 4], &[5, 6], &[1, 7]];
        let items = batch(&[(0, 130), (1, 140), (2, 70), (3, 64)], &tables).items(3);
        assert_eq!(items[0], Item { runs: vec![0..1, 1..2, 3..4], shared: 1 });
        assert_eq!((items.len(), items[1].rows(), items[1].shared), (2, 1, 2));
        assert_eq!(batch(&[(0, 130), (1, 140)], &tables).items(3)[0].shared, 2);
    }

    #[test]
    fn long_runs_are_cut() {
        let rows: Vec<_> = (0..5).map(|position| (0, position)).collect();
        let items = batch(&rows, &[&[9]]).items(2);
        assert_eq!(items.iter().map(|item| item.rows()).collect::<Vec<_>>(), [2, 2, 1]);
    }
}
