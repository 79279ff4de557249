//! Rotary position embedding (RoFormer, arXiv 2104.09864), and the way of a token's keys and values into the cache.

use crate::{
    KvCache, Team,
    attention::{Batch, Heads, Queries, QueryWriter},
    elementwise::{by_tier, inverse_rms, over_rows},
    kv::{BLOCK_TOKENS, KvWriter},
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
    fn rotate(&self, head: &mut [f32], cos: &[f32], sin: &[f32]) {
        let turn = |x: &mut f32, y: &mut f32, (cos, sin): (&f32, &f32)| {
            (*x, *y) = (*x * cos - *y * sin, *x * sin + *y * cos);
        };
        let angles = cos.iter().zip(sin);
        match self.pairs {
            Pairs::Neighbours => {
                let pairs = head.as_chunks_mut::<2>().0.iter_mut();
                pairs.zip(angles).for_each(|([x, y], angle)| turn(x, y, angle));
            }
            Pairs::Halves => {
                let (first, second) = head.split_at_mut(head.len() / 2);
                first.iter_mut().zip(second).zip(angles).for_each(|((x, y), angle)| turn(x, y, angle));
            }
        }
    }
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

/// Norms (if any) and rotates queries and keys in `qkv` (`[rows, (heads + 2·kv_heads)·head_dim]`), scales the queries and
/// hands them to `queries`, and stores keys and values in the cache at each row's position.
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
    queries: &mut Queries,
) {
    let (rows, width) = (batch.rows.len(), heads.width());
    assert_eq!(qkv.len(), rows * width, "qkv is [rows, heads + 2·kv_heads, head_dim]");
    assert!(heads.kv_heads == cache.shape().kv_heads && heads.head_dim == cache.shape().head_dim);
    batch.check(cache);
    let pass = Pass {
        heads,
        norms,
        rope,
        angles,
        batch,
        layer,
        qkv: Out { start: qkv.as_mut_ptr(), width },
        queries: queries.writer(rows, heads.heads, heads.head_dim),
        cache: cache.writer(),
    };
    let (pass, isa) = (&pass, team.isa());
    // A value costs four times what it does in a norm.
    over_rows(team, rows, 4 * width, &|index| by_tier!(isa, compute(pass: &Pass<'_>, index: usize)));
}

/// One layer's queries, keys and values on their way.
struct Pass<'a> {
    heads: Heads,
    norms: Option<HeadNorms<'a>>,
    rope: &'a Rope,
    angles: &'a Angles,
    batch: &'a Batch,
    layer: usize,
    qkv: Out,
    queries: QueryWriter,
    cache: KvWriter<'a>,
}

/// One row's; each index is given to one thread.
#[inline(always)]
fn compute(pass: &Pass<'_>, index: usize) {
    let Heads { heads, kv_heads, head_dim, query_scale } = pass.heads;
    let row = pass.batch.rows[index];
    // SAFETY: each row is one item's.
    let (queries, rest) = unsafe { pass.qkv.slice(index, 0, pass.heads.width()) }.split_at_mut(heads * head_dim);
    let (keys, values) = rest.split_at_mut(kv_heads * head_dim);
    let cos = &pass.angles.cos[index * head_dim / 2..][..head_dim / 2];
    let sin = &pass.angles.sin[index * head_dim / 2..][..head_dim / 2];
    for query in queries.chunks_exact_mut(head_dim) {
        if let Some(norms) = pass.norms {
            norm(query, norms.query, norms.epsilon);
        }
        pass.rope.rotate(query, cos, sin);
        query.iter_mut().for_each(|x| *x *= query_scale);
    }
    // SAFETY: as above.
    unsafe { pass.queries.store(index, queries) };
    let block = pass.batch.tables[row.sequence][row.position / BLOCK_TOKENS] as usize;
    let pairs = keys.chunks_exact_mut(head_dim).zip(values.chunks_exact(head_dim));
    for (head, (key, value)) in pairs.enumerate() {
        if let Some(norms) = pass.norms {
            norm(key, norms.key, norms.epsilon);
        }
        pass.rope.rotate(key, cos, sin);
        // SAFETY: rows are distinct tokens (`Batch`), and nobody reads in this phase.
        unsafe { pass.cache.store(pass.layer, block, head, row.position % BLOCK_TOKENS, key, value) };
    }
}

#[inline(always)]
fn norm(head: &mut [f32], weight: &[f32], epsilon: f32) {
    let scale = inverse_rms(head, epsilon);
    head.iter_mut().zip(weight).for_each(|(x, weight)| *x *= scale * weight);
}
