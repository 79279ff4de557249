//! The cache of keys and values as the scheduler sees it: blocks, who reads them, and what is in them.
//!
//! A sequence's [`Place`] is a table of blocks. The whole blocks at its beginning are the tree's, shared with whoever has
//! the same text; behind them come blocks of its own. Memory is promised before it is used: a sequence is only let in if
//! what it may still need is there or can be taken back.

mod pool;
mod tree;

use synod_kernels::BLOCK_TOKENS;

use pool::BlockPool;
use tree::{NodeId, PrefixTree, ROOT};

pub(in crate::engine) use tree::common_length;

/// A sequence's blocks.
#[derive(Debug, Default)]
pub(super) struct Place {
    table: Vec<u32>,
    /// The nodes of the first blocks of `table`.
    shared: Vec<NodeId>,
}

impl Place {
    /// The block of each 64 tokens.
    pub(super) fn table(&self) -> &[u32] {
        &self.table
    }

    fn last(&self) -> NodeId {
        self.shared.last().copied().unwrap_or(ROOT)
    }
}

/// A block whose first tokens are to be copied into another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Copy {
    pub(super) from: u32,
    pub(super) to: u32,
}

/// All blocks of a model.
#[derive(Debug)]
pub(super) struct BlockCache {
    pool: BlockPool,
    tree: PrefixTree,
}

/// Blocks for so many tokens.
pub(super) fn blocks_for(tokens: usize) -> usize {
    tokens.div_ceil(BLOCK_TOKENS)
}

impl BlockCache {
    pub(super) fn new(blocks: usize) -> Self {
        Self { pool: BlockPool::new(blocks), tree: PrefixTree::new() }
    }

    /// Blocks that are free or can be taken back.
    pub(super) fn available(&self) -> usize {
        self.pool.free() + self.tree.idle()
    }

    /// Moves a place that ends at a block's border forward over whole blocks that the tree has; `tokens` is its text from
    /// the beginning. Returns how many tokens it spans now.
    pub(super) fn follow(&mut self, place: &mut Place, tokens: &[u32]) -> usize {
        debug_assert_eq!(place.table.len(), place.shared.len(), "a place of the tree's blocks alone");
        for block in tokens.as_chunks::<BLOCK_TOKENS>().0.iter().skip(place.table.len()) {
            let Some(node) = self.tree.child(place.last(), block) else { break };
            self.tree.hold(node);
            place.shared.push(node);
            place.table.push(self.tree.block(node));
        }
        place.table.len() * BLOCK_TOKENS
    }

    /// How many of the whole blocks of `tokens` are in use by others anyway, so that reading them takes no memory.
    pub(super) fn held_by_others(&self, tokens: &[u32]) -> usize {
        let mut at = ROOT;
        let held = tokens.as_chunks::<BLOCK_TOKENS>().0.iter().map_while(|block| {
            at = self.tree.child(at, block).filter(|&node| self.tree.is_held(node))?;
            Some(())
        });
        held.count()
    }

    /// The block whose beginning has most in common with `next`, which follows `place`, and how many tokens: in the tree,
    /// or the own block of one of the sequences that compute (`others`: their places and what is in the cache of them).
    pub(super) fn closest<'a>(
        &mut self,
        place: &Place,
        next: &[u32],
        others: impl Iterator<Item = (&'a Place, &'a [u32])>,
    ) -> Option<(u32, usize)> {
        let index = place.table.len();
        let theirs = others.filter(|(other, _)| other.shared.len() == index && other.shared == place.shared);
        let theirs = theirs.filter_map(|(other, cached)| {
            let common = common_length(cached.get(index * BLOCK_TOKENS..)?, &next[..next.len().min(BLOCK_TOKENS)]);
            Some((*other.table.get(index)?, common))
        });
        theirs.chain(self.tree.closest(place.last(), next)).max_by_key(|(_, common)| *common).filter(|(_, n)| *n > 0)
    }

    /// Gives `place` a block of its own into which `from` is to be copied; none if memory has run out.
    pub(super) fn copy_of(&mut self, place: &mut Place, from: u32) -> Option<Copy> {
        // Taking a block back may take `from` itself, which then is simply the block that is wanted.
        let to = self.take()?;
        place.table.push(to);
        Some(Copy { from, to })
    }

    /// Grows `place` until it holds `tokens`; false if blocks have run out.
    pub(super) fn grow(&mut self, place: &mut Place, tokens: usize) -> bool {
        while place.table.len() < blocks_for(tokens) {
            let Some(block) = self.take() else { return false };
            place.table.push(block);
        }
        true
    }

    /// Puts whole blocks that were computed into the tree; `cached` is what was computed of the text.
    pub(super) fn share(&mut self, place: &mut Place, cached: &[u32]) {
        for tokens in cached.as_chunks::<BLOCK_TOKENS>().0.iter().skip(place.shared.len()) {
            let own = place.table[place.shared.len()];
            let node = match self.tree.child(place.last(), tokens) {
                // Somebody was faster with the same text: the blocks are equal.
                Some(node) => {
                    self.pool.give(own);
                    node
                }
                None => self.insert(place.last(), tokens, own),
            };
            self.tree.hold(node);
            place.table[place.shared.len()] = self.tree.block(node);
            place.shared.push(node);
        }
    }

    /// Lets go of a sequence's blocks; what was computed of its text stays until the memory is needed.
    pub(super) fn release(&mut self, mut place: Place, cached: &[u32]) {
        self.share(&mut place, cached);
        let (parent, rest) = (place.last(), &cached[place.shared.len() * BLOCK_TOKENS..]);
        let known = self.tree.closest(parent, rest).map_or(0, |(_, common)| common);
        let mut own = place.table.drain(place.shared.len()..);
        if known < rest.len()
            && let Some(block) = own.next()
        {
            self.insert(parent, rest, block);
        }
        own.for_each(|block| self.pool.give(block));
        place.shared.iter().rev().for_each(|&node| self.tree.let_go(node));
    }

    /// Takes all blocks of a place back without keeping what is in them.
    pub(super) fn discard(&mut self, mut place: Place) {
        place.table.drain(place.shared.len()..).for_each(|block| self.pool.give(block));
        place.shared.iter().rev().for_each(|&node| self.tree.let_go(node));
    }

    fn insert(&mut self, parent: NodeId, tokens: &[u32], block: u32) -> NodeId {
        let (node, superfluous) = self.tree.insert(parent, tokens, block);
        superfluous.into_iter().for_each(|block| self.pool.give(block));
        node
    }

    fn take(&mut self) -> Option<u32> {
        self.pool.take().or_else(|| self.tree.evict())
    }
}

#[cfg(test)]
mod tests;
