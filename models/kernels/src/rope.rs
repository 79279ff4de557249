//! Rotary position embedding (RoFormer, arXiv 2104.09864), and the way of a token's keys and values into the cache.

#[cfg(target_arch = "x86_64")]
mod avx512;

use crate::{
    Isa, KvCache, Team,
    attention::{Batch, BatchRow, Heads, VectorWriter, Vectors},
    elementwise::{by_tier, inverse_rms, over_rows},
    kv::BLOCK_TOKENS,
    linear::Out,
};

/// Which two values of a head are rotated together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pairs {
    /// Neighbours: 2i and 2i + 1 (the paper's; llama's GGUF files).
    Neighbours,
    /// i and i + half the head (GPT-NeoX; Qwen, Gemma).
    Halves,
}

/// Sines and cosines for the rows of a step: `[rows, head_dim / 2]` each.
#[derive(Debug, Clone, Default)]
pub struct Angles {
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Angles {
    /// `[rows, head_dim / 2]`.
    pub fn cos(&self) -> &[f32] {
        &self.cos
    }

    /// `[rows, head_dim / 2]`.
    pub fn sin(&self) -> &[f32] {
        &self.sin
    }
}

/// The frequencies of one rotary embedding: θᵢ = base^(−2i/d), divided by a factor where the model has them.
#[derive(Debug, Clone)]
pub struct Rope {
    frequencies: Vec<f64>,
    pairs: Pairs,
}

impl Rope {
    /// Frequencies for heads of `head_dim`. `factors` (`[head_dim / 2]`, may be empty) stretch single frequencies;
    /// `scale` divides positions.
    pub fn new(head_dim: usize, base: f32, scale: f32, factors: &[f32], pairs: Pairs) -> Self {
        let frequency = |i: usize| {
            let plain = f64::from(base).powf(-2.0 * i as f64 / head_dim as f64);
            plain / f64::from(scale) / f64::from(factors.get(i).copied().unwrap_or(1.0))
        };
        Self { frequencies: (0..head_dim / 2).map(frequency).collect(), pairs }
    }

    /// Which values are rotated together.
    pub fn pairs(&self) -> Pairs {
        self.pairs
    }

    /// Sines and cosines for tokens at `positions`.
    pub fn angles(&self, positions: impl Iterator<Item = usize>) -> Angles {
        let mut angles = Angles::default();
        for position in positions {
            for frequency in &self.frequencies {
                let (sin, cos) = (position as f64 * frequency).sin_cos();
                angles.cos.push(cos as f32);
                angles.sin.push(sin as f32);
            }
        }
        angles
    }

    #[inline(always)]
    fn rotate(&self, isa: Isa, head: &mut [f32], cos: &[f32], sin: &[f32]) {
        match (self.pairs, isa) {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a tier is only chosen where the machine has it.
            (Pairs::Neighbours, Isa::Avx512Vnni) => unsafe { avx512::rotate_neighbours(head, cos, sin) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            (Pairs::Halves, Isa::Avx512Vnni) => unsafe { avx512::rotate_halves(head, cos, sin) },
            (Pairs::Neighbours, _) => {
                let pairs = head.as_chunks_mut::<2>().0.iter_mut();
                pairs.zip(cos.iter().zip(sin)).for_each(|([x, y], (cos, sin))| turn(x, y, *cos, *sin));
            }
            (Pairs::Halves, _) => {
                let (first, second) = head.split_at_mut(head.len() / 2);
                let pairs = first.iter_mut().zip(second).zip(cos.iter().zip(sin));
                pairs.for_each(|((x, y), (cos, sin))| turn(x, y, *cos, *sin));
            }
        }
    }
}

#[inline(always)]
fn turn(x: &mut f32, y: &mut f32, cos: f32, sin: f32) {
    (*x, *y) = (*x * cos - *y * sin, *x * sin + *y * cos);
}

/// Weights of the norms over single heads (Gemma 3), `[head_dim]` each.
#[derive(Debug, Clone, Copy)]
pub struct HeadNorms<'a> {
    /// For queries.
    pub query: &'a [f32],
    /// For keys.
    pub key: &'a [f32],
    /// Added to the mean square.
    pub epsilon: f32,
}

/// Norms (if any) and rotates queries and keys in `qkv` (`[rows, (heads + 2·kv_heads)·head_dim]`), scales the queries,
/// rounds all to `vectors`, and stores keys and values in the cache at each row's position.
#[allow(clippy::too_many_arguments)]
pub fn rotate_and_store(
    team: &Team,
    qkv: &mut [f32],
    heads: Heads,
    norms: Option<HeadNorms<'_>>,
    rope: &Rope,
    angles: &Angles,
    batch: &Batch,
    cache: &mut KvCache,
    layer: usize,
    vectors: &mut Vectors,
) {
    let (rows, width) = (batch.rows.len(), heads.width());
    assert_eq!(qkv.len(), rows * width, "qkv is [rows, heads + 2·kv_heads, head_dim]");
    assert!(heads.kv_heads == cache.shape().kv_heads && heads.head_dim == cache.shape().head_dim);
    batch.check(cache);
    let qkv = Out { start: qkv.as_mut_ptr(), width };
    let pass = &Pass { isa: team.isa(), heads, norms, rope, angles, vectors: vectors.writer(rows, heads) };
    let writer = cache.writer();
    // A value costs four times what it does in a norm.
    over_rows(team, rows, 4 * width, &|index| {
        let BatchRow { sequence, position } = batch.rows[index];
        // SAFETY: each row is one item's.
        let row = unsafe { qkv.slice(index, 0, width) };
        by_tier!(pass.isa, rotate_and_round(pass: &Pass<'_>, index: usize, row: &mut [f32]));
        // SAFETY: as above; rows are distinct tokens (`Batch`), and nobody reads the cache in this phase.
        unsafe {
            let (integers, scales) = pass.vectors.row(index);
            let (integers, scales) = (&integers[heads.heads * heads.head_dim..], &scales[heads.heads..]);
            let block = batch.tables[sequence][position / BLOCK_TOKENS] as usize;
            writer.store(layer, block, position % BLOCK_TOKENS, integers, scales);
        }
    });
}

/// What one layer does to each row before attention.
struct Pass<'a> {
    isa: Isa,
    heads: Heads,
    norms: Option<HeadNorms<'a>>,
    rope: &'a Rope,
    angles: &'a Angles,
    vectors: VectorWriter,
}

#[inline(always)]
fn rotate_and_round(pass: &Pass<'_>, index: usize, row: &mut [f32]) {
    let Heads { heads, kv_heads, head_dim, query_scale } = pass.heads;
    let cos = &pass.angles.cos[index * head_dim / 2..][..head_dim / 2];
    let sin = &pass.angles.sin[index * head_dim / 2..][..head_dim / 2];
    for (at, head) in row.chunks_exact_mut(head_dim).take(heads + kv_heads).enumerate() {
        if let Some(HeadNorms { query, key, epsilon }) = pass.norms {
            norm(head, if at < heads { query } else { key }, epsilon);
        }
        pass.rope.rotate(pass.isa, head, cos, sin);
        if at < heads {
            head.iter_mut().for_each(|x| *x *= query_scale);
        }
    }
    // SAFETY: each row is one item's.
    unsafe { pass.vectors.round(pass.isa, index, row) };
}

#[inline(always)]
fn norm(head: &mut [f32], weight: &[f32], epsilon: f32) {
    let scale = inverse_rms(head, epsilon);
    head.iter_mut().zip(weight).for_each(|(x, weight)| *x *= scale * weight);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tier_rotates_pairs_by_their_angles() {
        for (pairs, head_dim) in
            [Pairs::Neighbours, Pairs::Halves].into_iter().flat_map(|p| [16, 64, 80].map(|d| (p, d)))
        {
            let rope = Rope::new(head_dim, 10_000.0, 1.0, &[], pairs);
            let head: Vec<f32> = (0..head_dim).map(|i| (i as f32 * 1.7).sin()).collect();
            let angles = rope.angles(std::iter::once(37));
            let mut want = head.clone();
            for i in 0..head_dim / 2 {
                let (a, b) = if pairs == Pairs::Halves { (i, i + head_dim / 2) } else { (2 * i, 2 * i + 1) };
                let (sin, cos) = (37.0 * 10_000f64.powf(-2.0 * i as f64 / head_dim as f64)).sin_cos();
                let (x, y) = (f64::from(head[a]), f64::from(head[b]));
                (want[a], want[b]) = ((x * cos - y * sin) as f32, (x * sin + y * cos) as f32);
            }
            for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
                let mut got = head.clone();
                rope.rotate(isa, &mut got, angles.cos(), angles.sin());
                let mut plain = head.clone();
                rope.rotate(Isa::Portable, &mut plain, angles.cos(), angles.sin());
                assert_eq!(got, plain, "{isa:?}, {pairs:?}, {head_dim} wide");
                for (got, want) in got.iter().zip(&want) {
                    assert!((got - want).abs() < 1e-6, "{isa:?}, {pairs:?}, {head_dim} wide: {got}, want {want}");
                }
            }
        }
    }
}
