//! Two scores of every document as one, and the best of them.

/// What words count beside meaning. Chosen on APIBench's TorchHub questions, where reciprocal ranks (Cormack et al. 2009) did
/// worse.
const WORDS: f32 = 0.2;

/// By how many standard deviations each document stands out, in meaning and in words.
pub(super) fn fused(meaning: &[f32], words: &[f32]) -> Vec<f32> {
    let ((middle, spread), (words_middle, words_spread)) = (spread(meaning), spread(words));
    let fuse =
        |(meaning, words): (&f32, &f32)| (meaning - middle) / spread + WORDS * (words - words_middle) / words_spread;
    meaning.iter().zip(words).map(fuse).collect()
}

/// Mean and standard deviation.
fn spread(scores: &[f32]) -> (f32, f32) {
    let count = scores.len().max(1) as f32;
    let mean = scores.iter().sum::<f32>() / count;
    let variance = scores.iter().map(|score| (score - mean).powi(2)).sum::<f32>() / count;
    (mean, variance.sqrt().max(1e-6))
}

/// Indices and scores of the `k` best of those that have `least`, best first; of equals, the first.
pub(super) fn best(scores: &[f32], k: usize, least: f32) -> Vec<(usize, f32)> {
    let mut found: Vec<(usize, f32)> =
        scores.iter().copied().enumerate().filter(|(_, score)| *score >= least).collect();
    let order = |a: &(usize, f32), b: &(usize, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if k < found.len() && k > 0 {
        found.select_nth_unstable_by(k - 1, order);
    }
    found.truncate(k);
    found.sort_by(order);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_are_in_order_and_no_more_than_asked_for() {
        let scores = [0.5, 2.0, 0.5, -1.0, 3.0];
        assert_eq!(best(&scores, 3, f32::NEG_INFINITY), [(4, 3.0), (1, 2.0), (0, 0.5)]);
        assert_eq!(best(&scores, 9, 1.0), [(4, 3.0), (1, 2.0)]);
        assert_eq!(best(&scores, 0, 0.0), []);
    }

    #[test]
    fn words_decide_between_equals_in_meaning() {
        let fused = fused(&[0.9, 0.9, 0.1], &[0.0, 3.0, 3.0]);
        assert!(fused[1] > fused[0] && fused[0] > fused[2], "{fused:?}");
    }
}
