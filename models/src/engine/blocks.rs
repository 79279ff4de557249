//! Which cache blocks are free.

use std::{cmp::Reverse, collections::BinaryHeap};

use synod_kernels::BLOCK_TOKENS;

/// Hands out block numbers, lowest first, so that what is used stays dense in memory.
#[derive(Debug)]
pub(super) struct BlockPool {
    free: BinaryHeap<Reverse<u32>>,
}

impl BlockPool {
    pub(super) fn new(blocks: usize) -> Self {
        Self { free: (0..blocks as u32).map(Reverse).collect() }
    }

    /// Grows `table` until it holds `tokens`; false if blocks have run out.
    pub(super) fn grow(&mut self, table: &mut Vec<u32>, tokens: usize) -> bool {
        while table.len() * BLOCK_TOKENS < tokens {
            let Some(Reverse(block)) = self.free.pop() else { return false };
            table.push(block);
        }
        true
    }

    /// Takes back a table's blocks.
    pub(super) fn release(&mut self, table: &mut Vec<u32>) {
        self.free.extend(table.drain(..).map(Reverse));
    }

    /// How many are free.
    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_back_and_are_reused_lowest_first() {
        let mut pool = BlockPool::new(4);
        let (mut a, mut b) = (Vec::new(), Vec::new());
        assert!(pool.grow(&mut a, 65) && pool.grow(&mut b, 1));
        assert_eq!((a.clone(), b.clone()), (vec![0, 1], vec![2]));
        assert!(!pool.grow(&mut b, 300), "only one is left");
        pool.release(&mut a);
        assert!(pool.grow(&mut b, 129));
        assert_eq!(b, [2, 3, 0]);
        pool.release(&mut b);
        assert_eq!(pool.free(), 4);
    }
}
