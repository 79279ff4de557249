//! Ranking by meaning: the dot product with every passage's embedding, exact but for eight bits a value.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::{EmbedProgress, SearchError, texts, vectors::Vectors};
use crate::apis::catalogue::Catalogue;
use synod_models::embed::Embedder;

/// Texts between two looks at the progress.
const CHUNK: usize = 64;

/// Which text an embedding is of.
pub(super) type Key = [u8; 16];

/// A direction in as many dimensions as there are values.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Quantised {
    pub(super) scale: f32,
    pub(super) values: Vec<i8>,
}

/// All passages of a catalogue.
#[derive(Debug)]
pub(super) struct Dense {
    dimension: usize,
    documents: usize,
    /// Document of each row.
    owners: Vec<u32>,
    scales: Vec<f32>,
    /// `[rows, dimension]`
    values: Vec<i8>,
}

impl Dense {
    /// Embeds the passages that are not among `vectors`, and adds them there; says how many these were.
    pub(super) fn of(
        catalogue: &Catalogue,
        vectors: &mut Vectors,
        embedder: &Embedder,
        progress: &EmbedProgress,
    ) -> Result<(Self, usize), SearchError> {
        let passages = || {
            (0..).zip(catalogue.apis()).flat_map(|(document, api)| texts::passages(api).map(|text| (document, text)))
        };
        let mut missing: HashMap<Key, String> = HashMap::new();
        for (_, text) in passages() {
            let key = key(&text);
            if !vectors.contains(&key) {
                missing.insert(key, text);
            }
        }
        let total = missing.len();
        let missing: Vec<(Key, String)> = missing.into_iter().collect();
        for (index, chunk) in missing.chunks(CHUNK).enumerate() {
            progress(index * CHUNK, total);
            let texts: Vec<String> = chunk.iter().map(|(_, text)| text.clone()).collect();
            let embeddings = embedder.embed(&texts).map_err(SearchError::Embed)?;
            for ((key, _), embedding) in chunk.iter().zip(embeddings) {
                vectors.insert(*key, quantise(&embedding.values));
            }
        }
        progress(total, total);
        let mut dense = Self {
            dimension: embedder.dimension(),
            documents: catalogue.apis().len(),
            owners: Vec::new(),
            scales: Vec::new(),
            values: Vec::new(),
        };
        for (document, text) in passages() {
            if let Some(vector) = vectors.get(&key(&text)) {
                dense.owners.push(document);
                dense.scales.push(vector.scale);
                dense.values.extend_from_slice(&vector.values);
            }
        }
        Ok((dense, total))
    }

    /// The score of every document: that of its best passage.
    pub(super) fn scores(&self, query: &Quantised) -> Vec<f32> {
        let mut scores = vec![f32::NEG_INFINITY; self.documents];
        let rows = self.values.chunks_exact(self.dimension.max(1));
        for ((row, &owner), &scale) in rows.zip(&self.owners).zip(&self.scales) {
            let score = dot(row, &query.values) as f32 * scale * query.scale;
            let best = &mut scores[owner as usize];
            *best = best.max(score);
        }
        scores
    }
}

/// The text's hash: equal texts are embedded once, in whatever version or catalogue they are.
pub(super) fn key(text: &str) -> Key {
    let mut key = Key::default();
    key.copy_from_slice(&Sha256::digest(text)[..size_of::<Key>()]);
    key
}

/// Eight bits a value: the largest becomes 127.
pub(super) fn quantise(values: &[f32]) -> Quantised {
    let largest = values.iter().fold(f32::MIN_POSITIVE, |largest, value| largest.max(value.abs()));
    let quantised = values.iter().map(|value| (value / largest * 127.0).round() as i8);
    Quantised { scale: largest / 127.0, values: quantised.collect() }
}

/// At most 384 · 127², which is far from overflowing. Written so that it becomes `pmaddwd`.
fn dot(a: &[i8], b: &[i8]) -> i32 {
    a.iter().zip(b).map(|(&a, &b)| i32::from(i16::from(a) * i16::from(b))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_bits_keep_the_order_of_what_differs() {
        let direction = |angle: f32| [angle.cos(), angle.sin(), 0.0];
        let row = |angle| quantise(&direction(angle));
        let rows: Vec<Quantised> = [0.9, 0.1, 0.5, 0.4].map(row).to_vec();
        let dense = Dense {
            dimension: 3,
            documents: 3,
            owners: vec![0, 1, 2, 0],
            scales: rows.iter().map(|row| row.scale).collect(),
            values: rows.iter().flat_map(|row| row.values.clone()).collect(),
        };
        let scores = dense.scores(&row(0.42));
        // The first document's second passage is the nearest of all.
        assert!(scores[0] > scores[2] && scores[2] > scores[1], "{scores:?}");
        assert!((scores[1] - 0.32_f32.cos()).abs() < 0.01, "{scores:?}");
    }
}
