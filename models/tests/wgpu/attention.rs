//! Attention over the paged cache.

use std::sync::Arc;

use burn::tensor::Device;
use synod_kernels::{Format, KvShape, PackedMatrix};
use synod_models::nn::{Batch, BatchRow, HeadNorms, Heads, Rope, SelfAttention, Step, ops};

use crate::random::{devices, linear, matrix, noise, norm, read, weights, workspace};

/// What a case varies.
struct Case {
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    pairs: synod_kernels::rope::Pairs,
    window: Option<usize>,
    norms: bool,
    /// Tokens of each sequence, fed in two steps.
    lengths: [usize; 2],
}

impl Case {
    fn layer(&self, device: &Device) -> SelfAttention {
        let Self { heads, kv_heads, head_dim, .. } = *self;
        // `attend` reads none of the projections.
        let unused: Arc<PackedMatrix> = Arc::new(weights(Format::Q8_0, 16, 32, 1));
        let unused = || linear(&unused, None, device);
        let norm_of = |seed| norm(&noise(head_dim, seed), device);
        SelfAttention {
            norm: norm(&[1.0], device),
            query: unused(),
            key: unused(),
            value: unused(),
            head_norms: self.norms.then(|| HeadNorms { query: norm_of(11), key: norm_of(12) }),
            output: unused(),
            post_norm: None,
            heads: Heads { heads, kv_heads, head_dim, query_scale: 1.0 / (head_dim as f32).sqrt() },
            rope: Rope::new(head_dim, 10_000.0, 1.0, &[], self.pairs),
            angles: 0,
            window: self.window,
            layer: 1,
        }
    }

    /// What both steps give, one after the other.
    fn run(&self, device: &Device) -> Vec<f32> {
        let layer = self.layer(device);
        let blocks_each = self.lengths.iter().max().unwrap().div_ceil(64);
        let shape = KvShape { layers: 2, kv_heads: self.kv_heads, head_dim: self.head_dim };
        let workspace = workspace(device, shape, 2 * blocks_each);
        // Blocks of the sequences interleave, highest first, so that tables matter and the cache has to grow.
        let table = |sequence: usize| (0..blocks_each).rev().map(|block| (2 * block + sequence) as u32).collect();
        let mut outputs = Vec::new();
        for step in 0..2 {
            let mut batch = Batch { rows: Vec::new(), tables: vec![table(0), table(1)] };
            for (sequence, length) in self.lengths.into_iter().enumerate() {
                let positions = if step == 0 { 0..length - 1 } else { length - 1..length };
                batch.rows.extend(positions.map(|position| BatchRow { sequence, position }));
            }
            let width = layer.heads.width();
            let qkv = matrix(&noise(batch.rows.len() * width, 3 + step), width, device);
            let step = Step::new(batch, Vec::new(), std::slice::from_ref(&layer.rope), &workspace);
            outputs.extend(read(ops::attend(qkv, &layer, &step)));
        }
        outputs
    }

    /// The CPU multiplies integers of 16 bits, the GPU f32: half a thousandth of the values' size (1) apart.
    #[track_caller]
    fn check(&self) {
        let [cpu, gpu] = devices().map(|device| self.run(&device));
        assert_eq!(cpu.len(), gpu.len());
        for (at, (cpu, gpu)) in cpu.iter().zip(&gpu).enumerate() {
            assert!((cpu - gpu).abs() < 2e-3, "{at}: {gpu} on the GPU, {cpu} on the CPU");
        }
    }
}

#[test]
fn grouped_queries_of_two_sequences_equal_the_cpus() {
    let pairs = synod_kernels::rope::Pairs::Neighbours;
    Case { heads: 9, kv_heads: 3, head_dim: 64, pairs, window: None, norms: false, lengths: [150, 64] }.check();
}

#[test]
fn windows_and_head_norms_equal_the_cpus() {
    let pairs = synod_kernels::rope::Pairs::Halves;
    Case { heads: 4, kv_heads: 1, head_dim: 256, pairs, window: Some(70), norms: true, lengths: [200, 3] }.check();
}

#[test]
fn odd_heads_equal_the_cpus() {
    let pairs = synod_kernels::rope::Pairs::Halves;
    Case { heads: 4, kv_heads: 2, head_dim: 80, pairs, window: Some(1), norms: false, lengths: [66, 65] }.check();
}
