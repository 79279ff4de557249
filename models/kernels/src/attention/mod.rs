//! Causal attention of a ragged batch over the paged cache, with an online softmax (FlashAttention, arXiv 2205.14135).
//!
//! Query heads that share a key-value head (grouped-query attention, arXiv 2305.13245), neighbouring rows of one sequence
//! and sequences that begin with the same blocks are taken together, so that a block's keys and values are read once for
//! all of them.

#[cfg(target_arch = "x86_64")]
mod avx512;
mod batch;
mod plain;
mod softmax;

use std::{cell::RefCell, ops::Range};

pub use batch::{Batch, BatchRow};
use softmax::Softmax;

use crate::{KvCache, Team, kv::BLOCK_TOKENS, linear::Out};

/// How a layer's attention is divided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Heads {
    /// Query heads.
    pub heads: usize,
    /// Key-value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// What queries are multiplied by, usually 1/√head_dim.
    pub query_scale: f32,
}

impl Heads {
    /// Width of queries, keys and values side by side.
    pub const fn width(self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.head_dim
    }
}

/// The most queries of a tile: 6 × 4 accumulators of 16 floats.
const TILE: usize = 6;
/// The most query vectors of an item.
const ITEM: usize = 48;
/// Items of a thread, where there are rows enough.
const ITEMS: usize = 4;

/// Attends `qkv`'s queries (norm'd, rotated and scaled) to all cached tokens up to and including their own, or to the
/// last `window` of them; `out` is `[rows, heads·head_dim]`.
pub fn attend(
    team: &Team,
    qkv: &[f32],
    heads: Heads,
    window: Option<usize>,
    batch: &Batch,
    cache: &KvCache,
    layer: usize,
    out: &mut [f32],
) {
    let Heads { heads: query_heads, kv_heads, head_dim, .. } = heads;
    assert_eq!(qkv.len(), batch.rows.len() * heads.width());
    assert_eq!(out.len(), batch.rows.len() * query_heads * head_dim);
    batch.check(cache);
    let group = query_heads / kv_heads;
    let items = batch.items(rows_of_an_item(batch.rows.len(), kv_heads, group, team.threads()));
    let out = Out { start: out.as_mut_ptr(), width: query_heads * head_dim };
    team.run(items.len() * kv_heads, &|index| {
        let (item, kv_head) = (&items[index / kv_heads], index % kv_heads);
        let column = kv_head * group * head_dim;
        SOFTMAX.with_borrow_mut(|softmax| {
            softmax.clear(head_dim);
            let mut begins = Vec::with_capacity(item.runs.len());
            for run in &item.runs {
                begins.push(softmax.len());
                for row in run.clone() {
                    let end = batch.rows[row].position + 1;
                    let span = window.map_or(0, |window| end.saturating_sub(window))..end;
                    softmax.push(&qkv[row * heads.width() + column..][..group * head_dim], &span);
                }
            }
            let mut see = |queries: Range<usize>, index: usize, block: u32| {
                let (keys, values) = cache.head(layer, block as usize, kv_head);
                softmax.see(team.isa(), queries, index * BLOCK_TOKENS, keys, values);
            };
            let all = item.rows() * group;
            let first = batch.blocks(&item.runs[0]);
            first[..item.shared].iter().enumerate().for_each(|(index, &block)| see(0..all, index, block));
            for (run, &begin) in item.runs.iter().zip(&begins) {
                let own = batch.blocks(run).iter().enumerate().skip(item.shared);
                own.for_each(|(index, &block)| see(begin..begin + run.len() * group, index, block));
            }
            for (run, begin) in item.runs.iter().zip(begins) {
                for (i, row) in run.clone().enumerate() {
                    // SAFETY: this head group of this row is written by this item alone.
                    let target = unsafe { out.slice(row, column, group * head_dim) };
                    softmax.write(begin + i * group, target);
                }
            }
        });
    });
}

/// As many rows as keep the threads evenly busy, but enough to fill a tile.
fn rows_of_an_item(rows: usize, kv_heads: usize, group: usize, threads: usize) -> usize {
    let even = (rows * kv_heads).div_ceil(threads * ITEMS);
    even.clamp(TILE.div_ceil(group), (ITEM / group).max(TILE.div_ceil(group)))
}

/// Positions `from..to` of a block's 64.
#[derive(Debug, Clone, Copy)]
struct Seen {
    from: usize,
    to: usize,
}

impl Seen {
    fn is_empty(&self) -> bool {
        self.from >= self.to
    }
}

thread_local! {
    static SOFTMAX: RefCell<Softmax> = RefCell::default();
}

#[cfg(test)]
mod tests;
