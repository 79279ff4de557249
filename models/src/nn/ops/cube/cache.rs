//! Keys and values of past tokens in the device's memory.

use burn::{
    backend::Cube,
    tensor::{Device, Tensor},
};
use burn_cubecl::tensor::CubeTensor;
use synod_kernels::{BLOCK_TOKENS, KvShape};

use super::on_cube;

/// Blocks that are there at once, before more are used.
const FIRST_BLOCKS: usize = 8;

/// Blocks of 64 tokens for every layer, f32: keys as `[blocks, kv_heads, head_dim, 64]` (neighbouring threads score
/// neighbouring tokens) and values as `[blocks, kv_heads, 64, head_dim]`.
///
/// A device's memory is taken when it is allocated, not when it is written, so the cache starts small and doubles as
/// higher blocks come into use.
#[derive(Debug)]
pub(crate) struct DeviceKvCache {
    device: Device,
    shape: KvShape,
    /// Blocks allocated.
    blocks: usize,
    /// Blocks that may ever be used.
    most: usize,
    /// Keys and values of each layer.
    layers: Vec<(Tensor<1>, Tensor<1>)>,
}

impl DeviceKvCache {
    /// Room for up to `most` blocks.
    pub(crate) fn new(device: &Device, shape: KvShape, most: usize) -> Self {
        let empty = || Tensor::empty([0], device);
        let layers = (0..shape.layers).map(|_| (empty(), empty())).collect();
        Self { device: device.clone(), shape, blocks: 0, most, layers }
    }

    /// Bytes of a block over all layers.
    pub(crate) const fn block_bytes(shape: KvShape) -> usize {
        shape.block_values() * size_of::<f32>()
    }

    /// Makes sure that blocks below `blocks` are there.
    pub(super) fn hold(&mut self, blocks: usize) {
        if blocks <= self.blocks {
            return;
        }
        let wanted = blocks.max(self.blocks * 2).clamp(FIRST_BLOCKS.min(self.most), self.most.max(blocks));
        let length = (wanted - self.blocks) * self.shape.kv_heads * self.shape.head_dim * BLOCK_TOKENS;
        for (keys, values) in &mut self.layers {
            *keys = grown(keys, length, &self.device);
            *values = grown(values, length, &self.device);
        }
        self.blocks = wanted;
    }

    /// Copies what block `from` holds to block `to`, in all layers.
    pub(crate) fn copy(&mut self, from: usize, to: usize) {
        self.hold(from.max(to) + 1);
        let length = self.shape.kv_heads * self.shape.head_dim * BLOCK_TOKENS;
        let at = |block: usize| block * length..(block + 1) * length;
        for (keys, values) in &mut self.layers {
            for tensor in [keys, values] {
                let copied = tensor.clone().slice([at(from)]);
                let whole = std::mem::replace(tensor, Tensor::empty([0], &self.device));
                *tensor = whole.slice_assign([at(to)], copied);
            }
        }
    }

    /// Keys and values of a layer.
    pub(super) fn layer(&self, layer: usize) -> (CubeTensor, CubeTensor) {
        let (keys, values) = &self.layers[layer];
        let part = |tensor: &Tensor<1>| on_cube(tensor.clone().try_into_primitive::<Cube>());
        (part(keys), part(values))
    }
}

fn grown(old: &Tensor<1>, length: usize, device: &Device) -> Tensor<1> {
    let added = Tensor::zeros([length], device);
    if old.dims() == [0] { added } else { Tensor::cat(vec![old.clone(), added], 0) }
}
