//! Causal attention of a ragged batch over the paged cache, with an online softmax (FlashAttention, arXiv 2205.14135).
//!
//! Query heads that share a key-value head (grouped-query attention, arXiv 2305.13245), neighbouring rows of one sequence
//! and sequences that begin with the same blocks are taken together, so that a block's keys and values are read once for
//! all of them. Long contexts are cut into spans that threads take side by side (Flash-Decoding).

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod batch;
mod division;
mod kernels;
#[cfg(target_arch = "aarch64")]
mod neon;
mod partial;
mod plain;
mod softmax;
mod vectors;

use std::{cell::RefCell, sync::atomic::Ordering::AcqRel};

pub use batch::{Batch, BatchRow};
use division::{Division, Item, Unit, Visit};
use partial::{Partials, Places};
use softmax::Softmax;
pub(crate) use vectors::VectorWriter;
pub use vectors::Vectors;

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

    /// Query heads of a key-value head.
    const fn group(self) -> usize {
        self.heads / self.kv_heads
    }
}

/// The most queries of a tile: 6 × 4 accumulators of 16 floats.
const TILE: usize = 6;
/// Blocks of a span. What a span sums up to is added to what the spans before it did, whoever computes them: a row's
/// result depends on its position alone.
const SPAN: usize = 4;

/// Attends the queries of `vectors` to all cached tokens up to and including their own, or to the last `window` of them; `out` is
/// `[rows, heads·head_dim]`.
pub fn attend(
    team: &Team,
    vectors: &Vectors,
    heads: Heads,
    window: Option<usize>,
    batch: &Batch,
    cache: &KvCache,
    layer: usize,
    out: &mut [f32],
) {
    let width = heads.heads * heads.head_dim;
    assert_eq!(vectors.rows(), batch.rows.len());
    assert_eq!(out.len(), batch.rows.len() * width);
    batch.check(cache);
    let division = Division::new(batch, heads, window, team.threads());
    let out = Out { start: out.as_mut_ptr(), width };
    PARTIALS.with_borrow_mut(|partials| {
        let partials = &partials.sized(division.partials);
        let pass = Pass { team, vectors, heads, window, batch, cache, layer, out, partials };
        team.run(division.units.len(), &|index| {
            let unit = &division.units[index];
            SOFTMAX.with_borrow_mut(|softmax| pass.compute(softmax, &division.items[unit.item], unit));
        });
    });
}

/// One layer's attention.
struct Pass<'a> {
    team: &'a Team,
    vectors: &'a Vectors,
    heads: Heads,
    window: Option<usize>,
    batch: &'a Batch,
    cache: &'a KvCache,
    layer: usize,
    out: Out,
    partials: &'a Places,
}

impl Pass<'_> {
    fn compute(&self, softmax: &mut Softmax, item: &Item, unit: &Unit) {
        self.load(softmax, item, unit.kv_head);
        self.see(softmax, item, unit);
        if unit.spans.len() == item.spans.len() {
            return self.write(softmax, item, unit.kv_head);
        }
        let length = softmax.folded().len();
        let at = |span: usize| item.partial_at(unit.kv_head, span, length);
        // SAFETY: this unit's place is its own until it has counted itself below.
        unsafe { self.partials.place(at(unit.spans.start), length) }.copy_from_slice(softmax.folded());
        if item.left[unit.kv_head].fetch_sub(1, AcqRel) == 1 {
            softmax.clear_folded();
            for span in item.spans.clone() {
                // SAFETY: whoever wrote it has counted itself and is done with it.
                softmax.merge(self.team.isa(), unsafe { self.partials.place(at(span), length) });
            }
            self.write(softmax, item, unit.kv_head);
        }
    }

    /// Takes up the item's queries of one key-value head.
    fn load(&self, softmax: &mut Softmax, item: &Item, kv_head: usize) {
        let group = self.heads.group();
        softmax.clear(self.heads.head_dim);
        for row in item.rows() {
            softmax.push(self.vectors.of(row, kv_head * group, group), &self.batch.sees(row, self.window));
        }
    }

    /// Lets the item's queries see the unit's blocks.
    fn see(&self, softmax: &mut Softmax, item: &Item, unit: &Unit) {
        let (isa, group) = (self.team.isa(), self.heads.group());
        let head = |visit: &Visit, kv_head: usize| self.cache.head(self.layer, visit.block as usize, kv_head);
        let visits = || item.visits.iter().filter(|visit| unit.spans.contains(&visit.span));
        // After its last block, a thread most likely goes on with the next head.
        let after = visits().next().filter(|_| unit.kv_head + 1 < self.heads.kv_heads);
        let after = after.map(|visit| head(visit, unit.kv_head + 1));
        let mut following = visits().skip(1);
        for visit in visits() {
            let following = following.next();
            let next = following.map(|visit| head(visit, unit.kv_head)).or(after);
            let queries = visit.rows.start * group..visit.rows.end * group;
            softmax.see(isa, queries, visit.index * BLOCK_TOKENS, head(visit, unit.kv_head), next);
            if following.is_none_or(|following| following.span != visit.span) {
                softmax.fold(isa);
            }
        }
    }

    fn write(&self, softmax: &Softmax, item: &Item, kv_head: usize) {
        let width = self.heads.group() * self.heads.head_dim;
        for (i, row) in item.rows().enumerate() {
            // SAFETY: this head group of this row is written once, by whoever completes it.
            let target = unsafe { self.out.slice(row, kv_head * width, width) };
            softmax.write(i * self.heads.group(), target);
        }
    }
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
    static PARTIALS: RefCell<Partials> = RefCell::default();
}

#[cfg(test)]
mod tests;
