//! The inner loops of attention, one file a tier.

use std::ops::Range;

#[cfg(target_arch = "aarch64")]
use super::neon;
use super::{Seen, plain};
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};
use crate::{
    Isa,
    elementwise::by_tier,
    kv::{BLOCK_TOKENS, HeadBlock},
};

/// Calls `$kernel` compiled for the number of queries, 1 to 6.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! by_queries {
    ($queries:expr, $kernel:ident[$($wide:literal)?]($($arg:expr),*)) => {
        match $queries {
            1 => $kernel::<1 $(, $wide)?>($($arg),*),
            2 => $kernel::<2 $(, $wide)?>($($arg),*),
            3 => $kernel::<3 $(, $wide)?>($($arg),*),
            4 => $kernel::<4 $(, $wide)?>($($arg),*),
            5 => $kernel::<5 $(, $wide)?>($($arg),*),
            6 => $kernel::<6 $(, $wide)?>($($arg),*),
            queries => unreachable!("a tile of {queries} queries"),
        }
    };
}
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) use by_queries;

/// Query vectors that pass over a block together.
#[derive(Clone, Copy)]
pub(super) struct QueryTile<'a> {
    /// `[queries, head_dim]`.
    pub(super) integers: &'a [i16],
    /// What each query's integers are multiplied by.
    pub(super) scales: &'a [f32],
}

impl QueryTile<'_> {
    pub(super) fn head_dim(&self) -> usize {
        self.integers.len() / self.scales.len()
    }
}

/// What a query makes of a block's values.
#[derive(Clone)]
#[repr(C, align(64))]
pub(super) struct Weights {
    /// 2^(score − largest) · the value's scale, as integers.
    pub(super) integers: [i16; BLOCK_TOKENS],
    /// What the integers are multiplied by.
    pub(super) scale: f32,
    /// What the sums over earlier blocks are multiplied by.
    pub(super) shrink: f32,
}

impl Weights {
    /// Of a query that sees nothing here.
    pub(super) const NONE: Self = Self { integers: [0; BLOCK_TOKENS], scale: 0.0, shrink: 1.0 };
}

/// A matrix of integers as they lie in the cache, `[lines][width][2]`: each line holds two rows of it.
#[derive(Clone, Copy)]
pub(super) struct Paired<'a> {
    pub(super) integers: &'a [i16],
    pub(super) width: usize,
}

impl<'a> Paired<'a> {
    pub(super) fn keys(block: &HeadBlock<'a>) -> Self {
        Self { integers: block.keys, width: BLOCK_TOKENS }
    }

    pub(super) fn values(block: &HeadBlock<'a>) -> Self {
        Self { integers: block.values, width: block.values.len() / BLOCK_TOKENS }
    }
}

/// What will be wanted next. A tile asks for its share of it between multiplications: at once, a core's line fill buffers
/// would be full, and it would wait for them.
#[derive(Clone, Copy)]
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "other tiers leave it to the machine"))]
pub(super) struct Ahead {
    at: *const i16,
    /// Cache lines.
    lines: (usize, usize),
}

#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "as above"))]
impl Ahead {
    /// Integers of a cache line.
    const LINE: usize = 32;

    /// As many integers of the next block, if there is one.
    pub(super) fn new(next: Option<&[i16]>) -> Self {
        next.map_or(Self { at: std::ptr::null(), lines: (0, 0) }, |next| Self {
            at: next.as_ptr(),
            lines: (0, next.len() / Self::LINE),
        })
    }

    /// The share of part `part` of all, where they are `0..whole`.
    #[inline(always)]
    pub(super) fn share(self, part: Range<usize>, whole: usize) -> Self {
        let (from, to) = self.lines;
        let at = |place: usize| from + (to - from) * place / whole;
        Self { lines: (at(part.start), at(part.end)), ..self }
    }

    /// Calls `fetch` with what is to be fetched at turn `turn` of `turns`.
    #[inline(always)]
    pub(super) fn turn(&self, turn: usize, turns: usize, fetch: impl Fn(*const i8)) {
        let (from, to) = self.lines;
        let mut line = from + turn;
        while line < to {
            fetch(self.at.wrapping_add(line * Self::LINE).cast());
            line += turns;
        }
    }
}

/// `scores[q][token] = queries[q] · key[token]`.
#[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables, reason = "other tiers fetch nothing ahead"))]
pub(super) fn score(
    isa: Isa,
    queries: QueryTile<'_>,
    block: &HeadBlock<'_>,
    ahead: Ahead,
    scores: &mut [[f32; BLOCK_TOKENS]],
) {
    use plain::score as plain_score;
    assert!(queries.scales.len() == scores.len() && block.keys.len() == queries.head_dim() * BLOCK_TOKENS);
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the tier is only chosen where the machine has it; lengths asserted.
        Isa::Avx512Vnni => unsafe { avx512::score(queries, block, ahead, scores) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::AvxVnni | Isa::Avx2 => unsafe { avx2::score(queries, block, ahead, scores) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        Isa::Neon => unsafe { neon::score(queries, block, scores) },
        _ => by_tier!(
            isa,
            plain_score(queries: QueryTile<'_>, block: &HeadBlock<'_>, scores: &mut [[f32; BLOCK_TOKENS]])
        ),
    }
}

/// Turns scores into weights 2^(score − largest), 0 where a query sees nothing, of values of these scales; updates each
/// query's state.
pub(super) fn soften(
    isa: Isa,
    scores: &mut [[f32; BLOCK_TOKENS]],
    seen: &[Seen],
    value_scales: &[f32; BLOCK_TOKENS],
    largest: &mut [f32],
    sums: &mut [[f32; 16]],
    weights: &mut [Weights],
) {
    use plain::soften as plain_soften;
    let count = scores.len();
    assert!([seen.len(), largest.len(), sums.len(), weights.len()] == [count; 4]);
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx512Vnni => unsafe { avx512::soften(scores, seen, value_scales, largest, sums, weights) },
        _ => by_tier!(
            isa,
            plain_soften(
                scores: &mut [[f32; BLOCK_TOKENS]],
                seen: &[Seen],
                value_scales: &[f32; BLOCK_TOKENS],
                largest: &mut [f32],
                sums: &mut [[f32; 16]],
                weights: &mut [Weights]
            )
        ),
    }
}

/// `outputs[q] = outputs[q] · shrink[q] + Σ_token weights[q][token] · value[token]` over `tokens`; outputs are
/// `[queries, head_dim]`.
#[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables, reason = "other tiers fetch nothing ahead"))]
pub(super) fn weigh(
    isa: Isa,
    weights: &[Weights],
    block: &HeadBlock<'_>,
    tokens: Range<usize>,
    ahead: Ahead,
    outputs: &mut [f32],
) {
    use plain::weigh as plain_weigh;
    assert!(outputs.len() * BLOCK_TOKENS == weights.len() * block.values.len() && tokens.end <= BLOCK_TOKENS);
    let pairs = tokens.start / 2..tokens.end.div_ceil(2);
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx512Vnni => unsafe { avx512::weigh(weights, block, pairs, ahead, outputs) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::AvxVnni | Isa::Avx2 => unsafe { avx2::weigh(weights, block, pairs, ahead, outputs) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        Isa::Neon => unsafe { neon::weigh(weights, block, pairs, outputs) },
        _ => by_tier!(
            isa,
            plain_weigh(weights: &[Weights], block: &HeadBlock<'_>, pairs: Range<usize>, outputs: &mut [f32])
        ),
    }
}
