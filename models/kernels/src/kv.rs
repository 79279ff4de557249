//! Keys and values of past tokens, in blocks of 64 tokens that a table per sequence strings together.
//!
//! A block holds, for each layer and key-value head, 64 keys and 64 values as 16-bit integers with a scale each
//! (`fixed.rs`), in the order in which instructions multiply: that which is summed over in pairs, what stays side by
//! side ([`HeadBlock`]).

use memmap2::MmapMut;

/// Tokens of a block.
pub const BLOCK_TOKENS: usize = 64;

/// What a model keeps of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvShape {
    /// Transformer layers.
    pub layers: usize,
    /// Key-value heads of a layer.
    pub kv_heads: usize,
    /// Width of a head, a multiple of 16.
    pub head_dim: usize,
}

impl KvShape {
    /// Keys and values of a block over all layers.
    pub const fn block_values(self) -> usize {
        self.layers * self.kv_heads * self.head_dim * BLOCK_TOKENS * 2
    }

    /// Bytes of a block in a [`KvCache`].
    pub const fn block_bytes(self) -> usize {
        self.layers * self.kv_heads * self.head_bytes()
    }

    /// Bytes of one head in a block: integers, then scales; a multiple of 64.
    const fn head_bytes(self) -> usize {
        2 * BLOCK_TOKENS * (self.head_dim * size_of::<i16>() + size_of::<f32>())
    }
}

/// A key-value head in a block.
#[derive(Clone, Copy)]
pub(crate) struct HeadBlock<'a> {
    /// Keys, `[head_dim / 2][64 tokens][2]`.
    pub(crate) keys: &'a [i16],
    /// Values, `[32 pairs of tokens][head_dim][2]`.
    pub(crate) values: &'a [i16],
    /// What the integers of each token's key are multiplied by.
    pub(crate) key_scales: &'a [f32; BLOCK_TOKENS],
    /// What the integers of each token's value are multiplied by.
    pub(crate) value_scales: &'a [f32; BLOCK_TOKENS],
}

/// The memory of all blocks. Only what was written takes physical memory.
pub struct KvCache {
    shape: KvShape,
    blocks: usize,
    memory: MmapMut,
}

impl std::fmt::Debug for KvCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KvCache({} blocks of {:?})", self.blocks, self.shape)
    }
}

impl KvCache {
    /// Address space for `blocks` blocks.
    pub fn new(shape: KvShape, blocks: usize) -> std::io::Result<Self> {
        assert!(shape.head_dim.is_multiple_of(16), "heads are a multiple of 16 wide");
        let memory = MmapMut::map_anon((shape.block_bytes() * blocks).max(1))?;
        // A head of a block is four pages or so, read once a step: small pages would miss the TLB all the time.
        #[cfg(target_os = "linux")]
        let _ = memory.advise(memmap2::Advice::HugePage); // only a hint
        Ok(Self { shape, blocks, memory })
    }

    /// What it keeps of a token.
    pub fn shape(&self) -> KvShape {
        self.shape
    }

    /// How many blocks there are.
    pub fn blocks(&self) -> usize {
        self.blocks
    }

    /// Integers of the keys of one head in one block, and as many of the values.
    fn head_len(&self) -> usize {
        self.shape.head_dim * BLOCK_TOKENS
    }

    /// Bytes before a head in a block.
    fn offset(&self, layer: usize, block: usize, head: usize) -> usize {
        let KvShape { layers, kv_heads, .. } = self.shape;
        assert!(layer < layers && block < self.blocks && head < kv_heads, "block {block} of {}", self.blocks);
        ((block * layers + layer) * kv_heads + head) * self.shape.head_bytes()
    }

    pub(crate) fn head(&self, layer: usize, block: usize, head: usize) -> HeadBlock<'_> {
        let (at, length) = (self.offset(layer, block, head), self.head_len());
        // SAFETY: the offset is within the mapping (asserted), which is page-aligned, and a multiple of 64; integers and
        // scales follow each other as `head_bytes` says, and every bit pattern is one.
        unsafe {
            let keys = self.memory.as_ptr().add(at).cast::<i16>();
            let scales = keys.add(2 * length).cast::<[f32; BLOCK_TOKENS]>();
            HeadBlock {
                keys: std::slice::from_raw_parts(keys, length),
                values: std::slice::from_raw_parts(keys.add(length), length),
                key_scales: &*scales,
                value_scales: &*scales.add(1),
            }
        }
    }

    /// Copies what block `from` holds to block `to`, in all layers.
    pub fn copy(&mut self, from: usize, to: usize) {
        let bytes = self.shape.block_bytes();
        assert!(from < self.blocks && to < self.blocks, "blocks {from} and {to} of {}", self.blocks);
        self.memory.copy_within(from * bytes..(from + 1) * bytes, to * bytes);
    }

    pub(crate) fn writer(&mut self) -> KvWriter<'_> {
        let start = self.memory.as_mut_ptr();
        KvWriter { cache: self, start }
    }
}

/// Writes tokens' keys and values from several threads.
pub(crate) struct KvWriter<'a> {
    cache: &'a KvCache,
    start: *mut u8,
}

// SAFETY: `store` writes one token's places only, and its callers hand each token to one thread.
unsafe impl Sync for KvWriter<'_> {}

impl KvWriter<'_> {
    /// Stores one token's keys and values, `[2, kv_heads, head_dim]` and `[2, kv_heads]`, at `slot` of `block`.
    ///
    /// # Safety
    /// No other thread reads the cache or writes the same token meanwhile.
    pub(crate) unsafe fn store(&self, layer: usize, block: usize, slot: usize, integers: &[i16], scales: &[f32]) {
        let KvShape { kv_heads, head_dim, .. } = self.cache.shape;
        assert!(slot < BLOCK_TOKENS && integers.len() == 2 * kv_heads * head_dim && scales.len() == 2 * kv_heads);
        let (keys, values) = integers.split_at(kv_heads * head_dim);
        for (head, (key, value)) in keys.chunks_exact(head_dim).zip(values.chunks_exact(head_dim)).enumerate() {
            // SAFETY: the offset is within the mapping, and the places of this slot are ours by contract.
            unsafe {
                let keys = self.start.add(self.cache.offset(layer, block, head)).cast::<i16>();
                let values = keys.add(self.cache.head_len());
                let to = values.add(self.cache.head_len()).cast::<f32>();
                for (i, pair) in key.as_chunks::<2>().0.iter().enumerate() {
                    keys.cast::<[i16; 2]>().add(i * BLOCK_TOKENS + slot).write(*pair);
                }
                for (d, value) in value.iter().enumerate() {
                    values.add(((slot / 2) * head_dim + d) * 2 + slot % 2).write(*value);
                }
                to.add(slot).write(scales[head]);
                to.add(BLOCK_TOKENS + slot).write(scales[kv_heads + head]);
            }
        }
    }
}
