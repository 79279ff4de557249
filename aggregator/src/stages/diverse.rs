//! Drafts that lie far apart: greedy choice by embeddings, as residual mixtures choose (RMoA, Xie et al. 2025).

/// Indices of `keep` vectors: the first given, then always the one that is least like what is chosen already.
pub(crate) fn farthest(vectors: &[Vec<f32>], first: usize, keep: usize) -> Vec<usize> {
    let mut chosen: Vec<usize> = Vec::new();
    let mut next = (!vectors.is_empty()).then_some(first.min(vectors.len().saturating_sub(1)));
    while let Some(index) = next.filter(|_| chosen.len() < keep) {
        chosen.push(index);
        let likeness =
            |index: &usize| chosen.iter().map(|one| cosine(&vectors[*index], &vectors[*one])).fold(f32::MIN, f32::max);
        let left = (0..vectors.len()).filter(|index| !chosen.contains(index));
        next = left.min_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    }
    chosen
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(f32::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_alike_come_next() {
        let vectors = vec![vec![1.0, 0.0], vec![0.9, 0.1], vec![0.0, 1.0], vec![-1.0, 0.2]];
        assert_eq!(farthest(&vectors, 0, 3), [0, 3, 2]);
        assert_eq!(farthest(&vectors, 0, 9).len(), 4);
        assert!(farthest(&[], 0, 2).is_empty());
    }
}
