//! Which cache blocks are free.

use std::{cmp::Reverse, collections::BinaryHeap};

/// Hands out block numbers, lowest first, so that what is used stays dense in memory.
#[derive(Debug)]
pub(super) struct BlockPool {
    free: BinaryHeap<Reverse<u32>>,
}

impl BlockPool {
    pub(super) fn new(blocks: usize) -> Self {
        Self { free: (0..blocks as u32).map(Reverse).collect() }
    }

    /// A free block, if there is one.
    pub(super) fn take(&mut self) -> Option<u32> {
        self.free.pop().map(|Reverse(block)| block)
    }

    /// Takes a block back.
    pub(super) fn give(&mut self, block: u32) {
        self.free.push(Reverse(block));
    }

    /// How many are free.
    pub(super) fn free(&self) -> usize {
        self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_back_and_are_reused_lowest_first() {
        let mut pool = BlockPool::new(3);
        let blocks = [pool.take(), pool.take(), pool.take()];
        assert_eq!(blocks, [Some(0), Some(1), Some(2)]);
        assert_eq!(pool.take(), None);
        pool.give(2);
        pool.give(0);
        assert_eq!((pool.take(), pool.free()), (Some(0), 1));
    }
}
