//! Which blocks hold which tokens: a tree over all that was computed (RadixAttention, arXiv 2312.07104), a block a node.
//!
//! A path from the root spells a text; two texts share nodes as far as their blocks are equal. A node is *held* by every
//! sequence that reads it, and so are its ancestors; what nobody holds stays until its block is needed, the longest unused
//! leaves first.

use synod_kernels::BLOCK_TOKENS;

/// A node; valid until it is evicted, which no held node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NodeId(usize);

/// Where every text begins.
pub(super) const ROOT: NodeId = NodeId(0);

#[derive(Debug, Default)]
struct Node {
    /// A whole block's, or fewer at the end of a text; a node with fewer has no children and no holders.
    tokens: Box<[u32]>,
    block: u32,
    parent: usize,
    children: Vec<usize>,
    holders: usize,
    /// When it was last let go or read.
    used: u64,
}

/// The tree.
#[derive(Debug)]
pub(super) struct PrefixTree {
    /// The root first; places of evicted nodes are in `vacant`.
    nodes: Vec<Node>,
    vacant: Vec<usize>,
    /// Nodes besides the root that nobody holds.
    idle: usize,
    clock: u64,
}

impl PrefixTree {
    pub(super) fn new() -> Self {
        Self { nodes: vec![Node::default()], vacant: Vec::new(), idle: 0, clock: 0 }
    }

    /// The node's block.
    pub(super) fn block(&self, node: NodeId) -> u32 {
        self.nodes[node.0].block
    }

    /// Whether some sequence holds it.
    pub(super) fn is_held(&self, node: NodeId) -> bool {
        self.nodes[node.0].holders > 0
    }

    /// How many blocks could be taken back.
    pub(super) fn idle(&self) -> usize {
        self.idle
    }

    /// The node behind `parent` that holds exactly the whole block `tokens`.
    pub(super) fn child(&self, parent: NodeId, tokens: &[u32]) -> Option<NodeId> {
        let children = &self.nodes[parent.0].children;
        children.iter().copied().find(|&child| *self.nodes[child].tokens == *tokens).map(NodeId)
    }

    /// The block behind `parent` that has the most tokens in common with the beginning of `tokens`, and how many.
    pub(super) fn closest(&mut self, parent: NodeId, tokens: &[u32]) -> Option<(u32, usize)> {
        let children = &self.nodes[parent.0].children;
        let common = |child: usize| common_length(&self.nodes[child].tokens, tokens);
        let best = children.iter().map(|&child| (common(child), child)).max_by_key(|(common, _)| *common);
        let (common, child) = best.filter(|(common, _)| *common > 0)?;
        self.touch(child);
        Some((self.nodes[child].block, common))
    }

    /// Takes a hold of a node; its parent is held already.
    pub(super) fn hold(&mut self, node: NodeId) {
        let node = &mut self.nodes[node.0];
        self.idle -= usize::from(node.holders == 0);
        node.holders += 1;
    }

    /// Lets go of a node, after its children.
    pub(super) fn let_go(&mut self, node: NodeId) {
        self.touch(node.0);
        let node = &mut self.nodes[node.0];
        node.holders -= 1;
        self.idle += usize::from(node.holders == 0);
    }

    /// Adds a text's next block behind `parent`, held by nobody yet. Returns the node and a block that became superfluous:
    /// one whose tokens were only the beginning of these.
    pub(super) fn insert(&mut self, parent: NodeId, tokens: &[u32], block: u32) -> (NodeId, Option<u32>) {
        let beginning = self.nodes[parent.0].children.iter().copied().find(|&child| {
            let child = &self.nodes[child];
            child.tokens.len() < BLOCK_TOKENS && tokens.starts_with(&child.tokens)
        });
        let superfluous = beginning.map(|child| self.remove(child));
        let node = Node { tokens: tokens.into(), block, parent: parent.0, ..Node::default() };
        let index = match self.vacant.pop() {
            Some(index) => {
                self.nodes[index] = node;
                index
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() - 1
            }
        };
        self.nodes[parent.0].children.push(index);
        self.idle += 1;
        self.touch(index);
        (NodeId(index), superfluous)
    }

    /// Takes back the block that was unused for longest, if nobody holds them all.
    pub(super) fn evict(&mut self) -> Option<u32> {
        let idle_leaf = |&(index, node): &(usize, &Node)| {
            index != ROOT.0 && !node.tokens.is_empty() && node.holders == 0 && node.children.is_empty()
        };
        let oldest = self.nodes.iter().enumerate().filter(idle_leaf).min_by_key(|(_, node)| node.used)?.0;
        Some(self.remove(oldest))
    }

    /// Removes a leaf that nobody holds; returns its block.
    fn remove(&mut self, index: usize) -> u32 {
        let node = std::mem::take(&mut self.nodes[index]);
        self.nodes[node.parent].children.retain(|&child| child != index);
        self.vacant.push(index);
        self.idle -= 1;
        node.block
    }

    fn touch(&mut self, index: usize) {
        self.clock += 1;
        self.nodes[index].used = self.clock;
    }
}

/// How many tokens two texts have in common at their beginning.
pub(in crate::engine) fn common_length(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(first: u32) -> Vec<u32> {
        (first..first + BLOCK_TOKENS as u32).collect()
    }

    #[test]
    fn the_longest_unused_leaf_goes_first_and_held_ones_never() {
        let mut tree = PrefixTree::new();
        let (a, _) = tree.insert(ROOT, &block(0), 0);
        let (b, _) = tree.insert(a, &block(1), 1);
        tree.insert(ROOT, &block(2), 2);
        tree.hold(a);
        tree.hold(b);
        assert_eq!((tree.idle(), tree.evict(), tree.evict()), (1, Some(2), None));
        tree.let_go(b);
        tree.let_go(a);
        assert_eq!([tree.evict(), tree.evict(), tree.evict()], [Some(1), Some(0), None], "children before parents");
        assert_eq!(tree.idle(), 0);
    }

    #[test]
    fn a_text_end_is_found_by_its_beginning_and_gives_way_to_a_longer_one() {
        let mut tree = PrefixTree::new();
        tree.insert(ROOT, &block(0)[..20], 7);
        assert_eq!(tree.closest(ROOT, &block(0)), Some((7, 20)));
        assert_eq!(tree.closest(ROOT, &[5]), None);
        let (node, superfluous) = tree.insert(ROOT, &block(0), 8);
        assert_eq!(superfluous, Some(7));
        assert_eq!(tree.child(ROOT, &block(0)), Some(node));
        assert_eq!(tree.idle(), 1);
    }
}
