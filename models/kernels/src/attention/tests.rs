use proptest::prelude::*;

use super::*;
use crate::{
    Isa, KvShape,
    rope::{Pairs, Rope, rotate_and_store},
};

/// Numbers from −1 to 1.
fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed | 1;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

/// Feeds `lengths[s]` tokens of each sequence in `steps` steps and compares with attention in f64 over all of them.
fn check(isa: Isa, heads: Heads, window: Option<usize>, lengths: &[usize], steps: usize, seed: u64) {
    let team = Team::with_isa(2, isa);
    let Heads { heads: query_heads, kv_heads, head_dim, query_scale } = heads;
    let rope = Rope::new(head_dim, 10_000.0, 1.0, &[], Pairs::Halves);
    let blocks_each = 8;
    let mut cache = KvCache::new(KvShape { layers: 2, kv_heads, head_dim }, blocks_each * lengths.len()).unwrap();
    // Blocks of the sequences interleave, so that tables matter.
    let tables: Vec<Vec<u32>> =
        (0..lengths.len()).map(|s| (0..blocks_each).map(|b| (b * lengths.len() + s) as u32).collect()).collect();
    let inputs: Vec<Vec<f32>> =
        lengths.iter().enumerate().map(|(s, n)| noise(n * heads.width(), seed ^ (s as u64) << 32)).collect();
    let mut rotated: Vec<Vec<f32>> = vec![Vec::new(); lengths.len()];
    let mut vectors = Vectors::default();
    for step in 0..steps {
        let mut batch = Batch { rows: Vec::new(), tables: tables.clone() };
        let mut qkv = Vec::new();
        for (sequence, &length) in lengths.iter().enumerate() {
            let share = |step: usize| length * step / steps;
            for position in share(step)..share(step + 1) {
                batch.rows.push(BatchRow { sequence, position });
                qkv.extend_from_slice(&inputs[sequence][position * heads.width()..][..heads.width()]);
            }
        }
        let angles = rope.angles(batch.rows.iter().map(|row| row.position));
        rotate_and_store(&team, &mut qkv, heads, None, &rope, &angles, &batch, &mut cache, 1, &mut vectors);
        let mut out = vec![f32::NAN; batch.rows.len() * query_heads * head_dim];
        attend(&team, &vectors, heads, window, &batch, &cache, 1, &mut out);
        for (index, row) in batch.rows.iter().enumerate() {
            rotated[row.sequence].extend_from_slice(&qkv[index * heads.width()..][..heads.width()]);
        }
        for (index, row) in batch.rows.iter().enumerate() {
            for head in 0..query_heads {
                let got = &out[(index * query_heads + head) * head_dim..][..head_dim];
                let want = reference(heads, window, &rotated[row.sequence], row.position, head);
                for d in 0..head_dim {
                    assert!(
                        (f64::from(got[d]) - want[d]).abs() < 2e-3,
                        "{isa:?} {row:?} head {head}: {} {}",
                        got[d],
                        want[d]
                    );
                }
            }
        }
    }
    assert!(query_scale > 0.0);
}

fn reference(heads: Heads, window: Option<usize>, rotated: &[f32], position: usize, head: usize) -> Vec<f64> {
    let Heads { heads: query_heads, kv_heads, head_dim, .. } = heads;
    let at = |position: usize, part: usize| &rotated[position * heads.width() + part * head_dim..][..head_dim];
    let kv_head = head / (query_heads / kv_heads);
    let first = window.map_or(0, |window| (position + 1).saturating_sub(window));
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let weights: Vec<f64> =
        (first..=position).map(|p| dot(at(position, head), at(p, query_heads + kv_head)).exp()).collect();
    let total: f64 = weights.iter().sum();
    let value = |p: usize, d: usize| f64::from(at(p, query_heads + kv_heads + kv_head)[d]);
    (0..head_dim).map(|d| weights.iter().enumerate().map(|(i, w)| w / total * value(first + i, d)).sum()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn attention_equals_its_definition(
        seed in any::<u64>(), first in 1usize..300, second in 1usize..90, steps in 1usize..4,
        shape in prop::sample::select(vec![(9, 3, 64), (14, 2, 64), (4, 1, 256), (2, 2, 80)]),
        window in prop::option::of(1usize..100),
    ) {
        let (heads, kv_heads, head_dim) = shape;
        let heads = Heads { heads, kv_heads, head_dim, query_scale: 1.0 / (head_dim as f32).sqrt() };
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            check(isa, heads, window, &[first, second], steps, seed);
        }
    }
}

/// Six sequences whose first blocks are one and the same get to the bit what each gets alone.
#[test]
fn sequences_that_share_blocks_are_attended_as_if_alone() {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        let team = Team::with_isa(2, isa);
        let heads = Heads { heads: 6, kv_heads: 2, head_dim: 64, query_scale: 0.125 };
        let rope = Rope::new(64, 10_000.0, 1.0, &[], Pairs::Halves);
        let mut cache = KvCache::new(KvShape { layers: 1, kv_heads: 2, head_dim: 64 }, 20).unwrap();
        let feed = |cache: &mut KvCache, batch: &Batch, seed: u64| {
            let mut qkv = noise(batch.rows.len() * heads.width(), seed);
            let angles = rope.angles(batch.rows.iter().map(|row| row.position));
            let mut vectors = Vectors::default();
            rotate_and_store(&team, &mut qkv, heads, None, &rope, &angles, batch, cache, 0, &mut vectors);
            vectors
        };
        let rows = |sequence: usize, positions: std::ops::Range<usize>| {
            positions.map(move |position| BatchRow { sequence, position }).collect::<Vec<_>>()
        };
        feed(&mut cache, &Batch { rows: rows(0, 0..128), tables: vec![vec![3, 5]] }, 1);
        let tables: Vec<Vec<u32>> = (0..6).map(|own| vec![3, 5, 8 + own]).collect();
        let together = Batch { rows: (0..6).flat_map(|s| rows(s, 128..129 + s % 3)).collect(), tables: tables.clone() };
        let vectors = feed(&mut cache, &together, 2);
        let attended = |batch: &Batch, vectors: &Vectors| {
            let mut out = vec![f32::NAN; batch.rows.len() * 6 * 64];
            attend(&team, vectors, heads, None, batch, &cache, 0, &mut out);
            out
        };
        let all = attended(&together, &vectors);
        let mut first = 0;
        for (sequence, table) in tables.into_iter().enumerate() {
            let alone = Batch { rows: rows(0, 128..129 + sequence % 3), tables: vec![table] };
            let end = first + alone.rows.len();
            let got = attended(&alone, &vectors.rows_of(first..end));
            assert_eq!(got, all[first * 6 * 64..end * 6 * 64], "{isa:?} sequence {sequence}");
            first = end;
        }
    }
}

/// A prompt at once is divided by rows, its last token alone by spans: that is nothing to the result.
#[test]
fn a_row_gets_the_same_whoever_computes_which_of_its_spans() {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        let team = Team::with_isa(2, isa);
        let heads = Heads { heads: 4, kv_heads: 2, head_dim: 32, query_scale: 3.0 };
        let rope = Rope::new(32, 10_000.0, 1.0, &[], Pairs::Halves);
        let tokens = 1100;
        let mut cache = KvCache::new(KvShape { layers: 1, kv_heads: 2, head_dim: 32 }, 18).unwrap();
        let row = |position| BatchRow { sequence: 0, position };
        let batch = Batch { rows: (0..tokens).map(row).collect(), tables: vec![(0..18).collect()] };
        let mut qkv = noise(tokens * heads.width(), 5);
        let angles = rope.angles(0..tokens);
        let mut vectors = Vectors::default();
        rotate_and_store(&team, &mut qkv, heads, None, &rope, &angles, &batch, &mut cache, 0, &mut vectors);
        for window in [None, Some(700)] {
            let attended = |rows: std::ops::Range<usize>| {
                let mut out = vec![f32::NAN; rows.len() * 4 * 32];
                let vectors = vectors.rows_of(rows.clone());
                let batch = Batch { rows: batch.rows[rows].to_vec(), tables: batch.tables.clone() };
                attend(&team, &vectors, heads, window, &batch, &cache, 0, &mut out);
                out
            };
            let (all, last) = (attended(0..tokens), attended(tokens - 1..tokens));
            assert_eq!(all[(tokens - 1) * 4 * 32..], last, "{isa:?} {window:?}");
        }
    }
}

/// Integers are exact: no tier may add them up differently, least of all the longest vectors that there are.
#[test]
fn scores_are_the_same_to_the_bit_on_all_tiers() {
    use crate::kv::HeadBlock;
    use kernels::{Ahead, QueryTile, score};
    const HEAD_DIM: usize = 256;
    let integers = |count: usize, seed: u64, most: f32| -> Vec<i16> {
        noise(count, seed).into_iter().map(|x| (x * most) as i16).collect()
    };
    let mut queries = integers(6 * HEAD_DIM, 1, 3_500.0);
    queries[..HEAD_DIM].fill(2_875);
    queries[HEAD_DIM..2 * HEAD_DIM].fill(0);
    queries[HEAD_DIM] = -32_700;
    let mut keys = integers(BLOCK_TOKENS * HEAD_DIM, 2, 3_500.0);
    for pair in keys.chunks_exact_mut(2 * BLOCK_TOKENS) {
        pair[..4].copy_from_slice(&[2_875, 2_875, 0, 0]);
    }
    keys[2] = -32_700;
    let (scales, ones) = (noise(6, 3), [1.0; BLOCK_TOKENS]);
    let key_scales = std::array::from_fn(|token| 1.0 / (token + 1) as f32);
    let block = HeadBlock { keys: &keys, values: &[], key_scales: &key_scales, value_scales: &ones };
    for count in 1..=6 {
        let tile = QueryTile { integers: &queries[..count * HEAD_DIM], scales: &scales[..count] };
        let on = |isa: Isa| {
            let mut scores = vec![[f32::NAN; BLOCK_TOKENS]; count];
            score(isa, tile, &block, Ahead::new(None), &mut scores);
            scores
        };
        let want = on(Isa::Portable);
        assert_eq!(want[0][0], (2_875 * 2_875 * HEAD_DIM as i32) as f32 * scales[0]);
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            assert_eq!(on(isa), want, "{isa:?}, {count} queries");
        }
    }
}
