//! Keys and values of past tokens, in blocks of 64 tokens that a table per sequence strings together.
//!
//! A block holds, for each layer and key-value head, the keys as `[head_dim][64]` (16 tokens a register: scores come out
//! without a horizontal sum) and the values as `[64][head_dim]`, all f16.

use half::{f16, slice::HalfFloatSliceExt};
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
        self.block_values() * size_of::<f16>()
    }
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

    /// Values of the keys of one head in one block, and as many of the values.
    fn head_len(&self) -> usize {
        self.shape.head_dim * BLOCK_TOKENS
    }

    fn offset(&self, layer: usize, block: usize, head: usize) -> usize {
        let KvShape { layers, kv_heads, .. } = self.shape;
        assert!(layer < layers && block < self.blocks && head < kv_heads, "block {block} of {}", self.blocks);
        ((block * layers + layer) * kv_heads + head) * self.head_len() * 2
    }

    /// Keys `[head_dim][64]` and values `[64][head_dim]` of a head in a block.
    pub(crate) fn head(&self, layer: usize, block: usize, head: usize) -> (&[f16], &[f16]) {
        let (at, length) = (self.offset(layer, block, head), self.head_len());
        // SAFETY: the offset is within the mapping (asserted), which is page-aligned; every bit pattern is an f16.
        let both = unsafe { std::slice::from_raw_parts(self.memory.as_ptr().cast::<f16>().add(at), length * 2) };
        both.split_at(length)
    }

    /// Copies what block `from` holds to block `to`, in all layers.
    pub fn copy(&mut self, from: usize, to: usize) {
        let bytes = self.shape.block_bytes();
        assert!(from < self.blocks && to < self.blocks, "blocks {from} and {to} of {}", self.blocks);
        self.memory.copy_within(from * bytes..(from + 1) * bytes, to * bytes);
    }

    pub(crate) fn writer(&mut self) -> KvWriter<'_> {
        let start = self.memory.as_mut_ptr().cast();
        KvWriter { cache: self, start }
    }
}

/// Writes tokens' keys and values from several threads.
pub(crate) struct KvWriter<'a> {
    cache: &'a KvCache,
    start: *mut f16,
}

// SAFETY: `store` writes one token's places only, and its callers hand each token to one thread.
unsafe impl Sync for KvWriter<'_> {}

impl KvWriter<'_> {
    /// Stores one token's key and value of one head at `slot` of `block`.
    ///
    /// # Safety
    /// No other thread reads the cache or writes the same token and head meanwhile.
    pub(crate) unsafe fn store(
        &self,
        layer: usize,
        block: usize,
        head: usize,
        slot: usize,
        key: &[f32],
        value: &[f32],
    ) {
        let head_dim = self.cache.shape.head_dim;
        assert!(slot < BLOCK_TOKENS && key.len() == head_dim && value.len() == head_dim);
        // SAFETY: the offset is within the mapping, and the places of this slot are ours by contract.
        unsafe {
            let keys = self.start.add(self.cache.offset(layer, block, head));
            let values = keys.add(self.cache.head_len() + slot * head_dim);
            for (chunk, (key, value)) in key.as_chunks::<16>().0.iter().zip(value.as_chunks::<16>().0).enumerate() {
                for (d, half) in halves(key).into_iter().enumerate() {
                    keys.add((chunk * 16 + d) * BLOCK_TOKENS + slot).write(half);
                }
                values.add(chunk * 16).cast::<[f16; 16]>().write(halves(value));
            }
        }
    }
}

/// The nearest finite f16s: an overflow to infinity would turn later scores into not-a-number.
#[inline(always)]
fn halves(values: &[f32; 16]) -> [f16; 16] {
    let mut halves = [f16::ZERO; 16];
    halves.convert_from_f32_slice(&values.map(|x| x.clamp(-65_504.0, 65_504.0)));
    halves
}
