//! Speed of the kernels, one thread: `cargo bench -p synod-kernels [-- FILTER]`. `SYNOD_ISA` chooses the tier.
//!
//! Linear layers report multiply-adds a second times two; beside them stands what bounds a tier, see
//! `docs/performance.md`.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use synod_kernels::{
    Activations, BLOCK_TOKENS, Format, KvCache, KvShape, PackedMatrix, Team,
    attention::{Batch, BatchRow, Heads, Vectors, attend},
    elementwise::{quantize, rms_norm_quantize},
    linear::{Part, Write, linear},
    rope::{Pairs, Rope, rotate_and_store},
};

fn noise(count: usize) -> Vec<f32> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn matrix(format: Format, rows: usize, columns: usize) -> PackedMatrix {
    // Any bytes are weights; small ones keep the f16 scales finite.
    let bytes =
        noise(rows * format.file_row_bytes(columns)).iter().map(|x| (x * 50.0) as i8 as u8 & 0x3b).collect::<Vec<_>>();
    PackedMatrix::pack(format, rows, columns, &bytes).unwrap()
}

/// A layer's matrix `[1536, 1536]` times 1, 3, 6, 13 and 240 rows.
fn linears(c: &mut Criterion) {
    let team = Team::new(1);
    for format in Format::ALL {
        let weights = matrix(format, 1536, 1536);
        let mut group = c.benchmark_group(format!("linear {format:?}"));
        for rows in [1, 3, 6, 13, 240] {
            let mut x = Activations::default();
            quantize(&team, &noise(rows * 1536), 1536, &mut x);
            let mut out = vec![0.0; rows * 1536];
            group.throughput(Throughput::Elements(2 * (rows * 1536 * 1536) as u64));
            group.bench_function(BenchmarkId::from_parameter(rows), |b| {
                let parts = [Part { weights: &weights, bias: None }];
                b.iter(|| linear(&team, black_box(&parts), &x, Write::Replace, &mut out));
            });
        }
        group.finish();
    }
    // As a wide model's down projection: what passes over the panels does not fit a cache.
    let weights = matrix(Format::Q4_K, 256, 8960);
    let (mut x, mut out) = (Activations::default(), vec![0.0; 240 * 256]);
    quantize(&team, &noise(240 * 8960), 8960, &mut x);
    let mut group = c.benchmark_group("linear Q4_K, 8960 wide");
    group.throughput(Throughput::Elements(2 * (240 * 256 * 8960) as u64));
    let parts = [Part { weights: &weights, bias: None }];
    group.bench_function("240", |b| b.iter(|| linear(&team, black_box(&parts), &x, Write::Replace, &mut out)));
    group.finish();
}

/// Heads of 64 (9 on 3, as SmolLM2's) over 1,024 cached tokens: one new token of one sequence, of six that share them, and
/// a prompt's chunk.
fn attention(c: &mut Criterion) {
    const CONTEXT: usize = 1024;
    let team = Team::new(1);
    let heads = Heads { heads: 9, kv_heads: 3, head_dim: 64, query_scale: 0.125 };
    let rope = Rope::new(64, 10_000.0, 1.0, &[], Pairs::Halves);
    let mut cache = KvCache::new(KvShape { layers: 1, kv_heads: 3, head_dim: 64 }, 24).unwrap();
    let shared: Vec<u32> = (0..CONTEXT / BLOCK_TOKENS).map(|block| block as u32).collect();
    let one = |sequence: usize, position: usize| BatchRow { sequence, position };
    let table = |own: u32| [shared.clone(), vec![own]].concat();
    let cases = [
        ("one", Batch { rows: vec![one(0, CONTEXT)], tables: vec![table(17)] }),
        ("six", Batch { rows: (0..6).map(|s| one(s, CONTEXT)).collect(), tables: (17..23).map(table).collect() }),
        ("chunk of 64", Batch { rows: (CONTEXT - 64..CONTEXT).map(|p| one(0, p)).collect(), tables: vec![table(17)] }),
    ];
    let mut group = c.benchmark_group("attention");
    for (name, batch) in cases {
        let (mut qkv, mut vectors) = (noise(batch.rows.len() * heads.width()), Vectors::default());
        let angles = rope.angles(batch.rows.iter().map(|row| row.position));
        rotate_and_store(&team, &mut qkv, heads, None, &rope, &angles, &batch, &mut cache, 0, &mut vectors);
        let mut out = vec![0.0; batch.rows.len() * 9 * 64];
        group.bench_function(name, |b| {
            b.iter(|| attend(&team, black_box(&vectors), heads, None, &batch, &cache, 0, &mut out))
        });
    }
    group.finish();
}

/// 64 rows of SmolLM2's queries, keys and values on their way to attention.
fn rotation(c: &mut Criterion) {
    let team = Team::new(1);
    let heads = Heads { heads: 9, kv_heads: 3, head_dim: 64, query_scale: 1.0 };
    let mut cache = KvCache::new(KvShape { layers: 1, kv_heads: 3, head_dim: 64 }, 1).unwrap();
    let batch =
        Batch { rows: (0..64).map(|position| BatchRow { sequence: 0, position }).collect(), tables: vec![vec![0]] };
    let (mut qkv, mut vectors) = (noise(64 * heads.width()), Vectors::default());
    let mut group = c.benchmark_group("rotate and store 64 rows");
    for (name, pairs) in [("neighbours", Pairs::Neighbours), ("halves", Pairs::Halves)] {
        let rope = Rope::new(64, 10_000.0, 1.0, &[], pairs);
        let angles = rope.angles(0..64);
        group.bench_function(name, |b| {
            b.iter(|| {
                rotate_and_store(&team, &mut qkv, heads, None, &rope, &angles, &batch, &mut cache, 0, &mut vectors);
            });
        });
    }
    group.finish();
}

/// What lies between the matrices, for one row of 1536.
fn elementwise(c: &mut Criterion) {
    let team = Team::new(1);
    let (x, weight, mut out) = (noise(1536), noise(1536), Activations::default());
    let mut group = c.benchmark_group("row of 1536");
    group.throughput(Throughput::Elements(1536));
    group.bench_function("quantize", |b| b.iter(|| quantize(&team, black_box(&x), 1536, &mut out)));
    group.bench_function("norm + quantize", |b| {
        b.iter(|| rms_norm_quantize(&team, black_box(&x), &weight, 1e-5, &mut out))
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(std::time::Duration::from_millis(300)).measurement_time(std::time::Duration::from_millis(700));
    targets = linears, attention, rotation, elementwise
}
criterion_main!(benches);
