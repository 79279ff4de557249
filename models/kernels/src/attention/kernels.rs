//! The inner loops of attention, one file a tier.

use std::ops::Range;

use half::f16;

#[cfg(target_arch = "aarch64")]
use super::neon;
use super::{Seen, plain, softmax::DEPTH};
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};
use crate::{Isa, elementwise::by_tier, kv::BLOCK_TOKENS};

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

/// Part of a block's keys or values as f32, 64 dimensions at a time: keys as `[dimension][token]`, values as
/// `[token][dimension]`. It is widened once for all queries and stays in the first-level cache meanwhile.
#[repr(align(64))]
pub(super) struct Stage {
    pub(super) lines: [[f32; BLOCK_TOKENS]; DEPTH],
    /// What whoever passes over it fetches meanwhile.
    pub(super) ahead: Ahead,
}

impl Default for Stage {
    fn default() -> Self {
        Self { lines: [[0.0; BLOCK_TOKENS]; DEPTH], ahead: Ahead::new(None) }
    }
}

/// Lines of halves in the cache.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    /// From the first wanted half of the first line on.
    pub(super) halves: &'a [f16],
    /// From one line to the next.
    pub(super) stride: usize,
}

/// What will be wanted after the stage at hand. A tile asks for its share of it between multiplications: at once, a core's
/// line fill buffers would be full, and it would wait for them.
#[derive(Clone, Copy)]
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "other tiers leave it to the machine"))]
pub(super) struct Ahead {
    at: *const f16,
    stride: usize,
    /// Cache lines, two to each of the stage's lines.
    lines: (usize, usize),
}

impl Ahead {
    /// Halves of a cache line.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "as above"))]
    const HALVES: usize = 32;

    /// The same place in the next block, if there is one.
    pub(super) fn new(next: Option<Source<'_>>) -> Self {
        match next {
            Some(Source { halves, stride }) => Self { at: halves.as_ptr(), stride, lines: (0, 2 * DEPTH) },
            None => Self { at: std::ptr::null(), stride: 0, lines: (0, 0) },
        }
    }

    /// The share of the tile of queries `tile` of all `queries`.
    pub(super) fn share(self, tile: &Range<usize>, queries: usize) -> Self {
        let (_, lines) = self.lines;
        Self { lines: (lines * tile.start / queries, lines * tile.end / queries), ..self }
    }

    /// Calls `fetch` with what is to be fetched at turn `turn` of 64.
    #[inline(always)]
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "other tiers leave it to the hardware"))]
    pub(super) fn turn(&self, turn: usize, fetch: impl Fn(*const i8)) {
        let Self { at, stride, lines } = *self;
        for line in [lines.0 + turn, lines.0 + turn + DEPTH] {
            if line < lines.1 {
                fetch(at.wrapping_add(line / 2 * stride + line % 2 * Self::HALVES).cast());
            }
        }
    }
}

/// Widens `width` halves (a multiple of 16, at most 64) of each of `lines` into the stage's lines of the same numbers.
pub(super) fn widen(isa: Isa, from: Source<'_>, lines: Range<usize>, width: usize, to: &mut Stage) {
    use plain::widen as plain_widen;
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the tier is only chosen where the machine has it.
        Isa::Avx512Vnni => unsafe { avx512::widen(from, lines, width, to) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::AvxVnni | Isa::Avx2 => unsafe { avx2::widen(from, lines, width, to) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        Isa::Neon => unsafe { neon::widen(from, lines, width, to) },
        _ => by_tier!(isa, plain_widen(from: Source<'_>, lines: Range<usize>, width: usize, to: &mut Stage)),
    }
}

/// `scores[q][token] += queries[q · head_dim..] · keys[..][token]` over `depth` dimensions.
pub(super) fn score(
    isa: Isa,
    queries: &[f32],
    head_dim: usize,
    keys: &Stage,
    depth: usize,
    scores: &mut [[f32; BLOCK_TOKENS]],
) {
    use plain::score as plain_score;
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx512Vnni => unsafe { avx512::score(queries, head_dim, keys, depth, scores) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::AvxVnni | Isa::Avx2 => unsafe { avx2::score(queries, head_dim, keys, depth, scores) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        Isa::Neon => unsafe { neon::score(queries, head_dim, keys, depth, scores) },
        _ => by_tier!(
            isa,
            plain_score(queries: &[f32], head_dim: usize, keys: &Stage, depth: usize, scores: &mut [[f32; BLOCK_TOKENS]])
        ),
    }
}

/// Turns scores into weights e^(score − largest), 0 where nothing is seen; updates the query's state and returns what its
/// earlier sums shrink by.
pub(super) fn soften(
    isa: Isa,
    scores: &mut [f32; BLOCK_TOKENS],
    seen: Seen,
    largest: &mut f32,
    sums: &mut [f32; 16],
) -> f32 {
    use plain::soften as plain_soften;
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx512Vnni => unsafe { avx512::soften(scores, seen, largest, sums) },
        _ => by_tier!(
            isa,
            plain_soften(scores: &mut [f32; BLOCK_TOKENS], seen: Seen, largest: &mut f32, sums: &mut [f32; 16]) -> f32
        ),
    }
}

/// `outputs[q · head_dim..][..width] = outputs[..] · shrink[q] + Σ_token weights[q][token] · values[token]` over `tokens`.
pub(super) fn weigh(
    isa: Isa,
    weights: &[[f32; BLOCK_TOKENS]],
    shrink: &[f32],
    values: &Stage,
    tokens: Range<usize>,
    outputs: &mut [f32],
    head_dim: usize,
    width: usize,
) {
    use plain::weigh as plain_weigh;
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx512Vnni => unsafe { avx512::weigh(weights, shrink, values, tokens, outputs, head_dim, width) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::AvxVnni | Isa::Avx2 => unsafe { avx2::weigh(weights, shrink, values, tokens, outputs, head_dim, width) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        Isa::Neon => unsafe { neon::weigh(weights, shrink, values, tokens, outputs, head_dim, width) },
        _ => by_tier!(
            isa,
            plain_weigh(
                weights: &[[f32; BLOCK_TOKENS]],
                shrink: &[f32],
                values: &Stage,
                tokens: Range<usize>,
                outputs: &mut [f32],
                head_dim: usize,
                width: usize
            )
        ),
    }
}
