//! From logits to a token.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use synod_kernels::{Isa, elementwise::log_sum_exp};

use super::{Sampling, masks::FORBIDDEN};

/// Tokens that the repetition penalty looks back on.
const PENALTY_WINDOW: usize = 64;
/// Tokens less likely than e^−16 (10⁻⁷) of the likeliest one are never drawn, so that only a few have to be sorted.
const NEGLIGIBLE: f32 = 16.0;

/// Draws one sequence's tokens.
#[derive(Debug)]
pub(super) struct Sampler {
    sampling: Sampling,
    rng: Pcg64Mcg,
    top: usize,
}

/// A drawn token.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Drawn {
    pub(super) id: u32,
    pub(super) logprob: f32,
    pub(super) top: Vec<(u32, f32)>,
}

impl Sampler {
    /// A sampler that also reports the `top` likeliest tokens.
    pub(super) fn new(sampling: Sampling, top: usize) -> Self {
        let rng = Pcg64Mcg::seed_from_u64(sampling.seed);
        Self { sampling, rng, top }
    }

    /// Draws from `logits`; `past` is the prompt and what was written. `None` if the logits are not numbers.
    pub(super) fn draw(&mut self, isa: Isa, logits: &mut [f32], past: &[u32]) -> Option<Drawn> {
        let total = log_sum_exp(isa, logits);
        if !total.is_finite() {
            return None;
        }
        let top = likeliest(logits, self.top).into_iter().filter(|(_, logit)| *logit > FORBIDDEN);
        let top = top.map(|(id, logit)| (id, logit - total)).collect();
        // The log-probability reported is the model's own, before any knob.
        let penalized = self.penalize(logits, past);
        let id = if self.sampling.temperature == 0.0 { argmax(logits) } else { self.draw_from(logits) };
        for (id, logit) in penalized {
            logits[id as usize] = logit;
        }
        Some(Drawn { id, logprob: logits[id as usize] - total, top })
    }

    /// Makes recent tokens less likely; returns what their logits were.
    fn penalize(&self, logits: &mut [f32], past: &[u32]) -> Vec<(u32, f32)> {
        let penalty = self.sampling.repetition_penalty;
        if penalty == 1.0 {
            return Vec::new();
        }
        let mut recent = past[past.len().saturating_sub(PENALTY_WINDOW)..].to_vec();
        recent.sort_unstable();
        recent.dedup();
        let before = recent.iter().map(|&id| (id, logits[id as usize])).collect();
        for id in recent {
            let logit = &mut logits[id as usize];
            *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
        }
        before
    }

    fn draw_from(&mut self, logits: &[f32]) -> u32 {
        let Sampling { temperature, top_k, top_p, min_p, .. } = self.sampling;
        let largest = logits[argmax(logits) as usize];
        let floor = largest - temperature * NEGLIGIBLE;
        let mut candidates: Vec<(u32, f32)> = match top_k {
            0 => above(logits, floor),
            k => likeliest(logits, k).into_iter().filter(|&(_, logit)| logit >= floor).collect(),
        };
        candidates.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        for (_, weight) in &mut candidates {
            *weight = ((*weight - largest) / temperature).exp();
        }
        let sum: f32 = candidates.iter().map(|(_, weight)| weight).sum();
        let mut kept = candidates.len();
        if top_p < 1.0 {
            // The tokens before which less than the share was reached.
            let before = candidates.iter().scan(0.0, |reached, (_, weight)| {
                *reached += weight;
                Some(*reached - weight)
            });
            kept = before.take_while(|before| *before < top_p * sum).count();
        }
        // Weights are relative to the likeliest token's, which is 1.
        kept = candidates[..kept].iter().take_while(|(_, weight)| *weight >= min_p).count().max(1);
        let kept = &candidates[..kept];
        let mut left = self.rng.random::<f32>() * kept.iter().map(|(_, weight)| weight).sum::<f32>();
        for &(id, weight) in kept {
            left -= weight;
            if left < 0.0 {
                return id;
            }
        }
        kept[kept.len() - 1].0
    }
}

/// The largest logit's token, the lowest id among equals.
pub(super) fn argmax(logits: &[f32]) -> u32 {
    let mut lanes = [(f32::NEG_INFINITY, 0u32); 16];
    let (chunks, rest) = logits.as_chunks::<16>();
    for (i, chunk) in chunks.iter().enumerate() {
        for lane in 0..16 {
            let better = chunk[lane] > lanes[lane].0;
            lanes[lane] = if better { (chunk[lane], (i * 16 + lane) as u32) } else { lanes[lane] };
        }
    }
    let rest = rest.iter().enumerate().map(|(i, &logit)| (logit, (chunks.len() * 16 + i) as u32));
    let best = lanes.into_iter().chain(rest).reduce(|a, b| if b.0 > a.0 || (b.0 == a.0 && b.1 < a.1) { b } else { a });
    best.map_or(0, |(_, id)| id)
}

/// The `count` largest, best first.
pub(crate) fn likeliest(logits: &[f32], count: usize) -> Vec<(u32, f32)> {
    let count = count.min(logits.len());
    if count == 0 {
        return Vec::new();
    }
    // Candidates above a rising floor, cut back whenever twice as many as wanted have gathered.
    let order = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    let mut kept: Vec<(u32, f32)> = Vec::with_capacity(count * 2);
    let mut floor = f32::NEG_INFINITY;
    for (id, &logit) in logits.iter().enumerate() {
        if logit > floor || kept.len() < count {
            kept.push((id as u32, logit));
            if kept.len() == count * 2 {
                kept.select_nth_unstable_by(count - 1, order);
                kept.truncate(count);
                floor = kept[count - 1].1;
            }
        }
    }
    kept.sort_unstable_by(order);
    kept.truncate(count);
    kept
}

fn above(logits: &[f32], floor: f32) -> Vec<(u32, f32)> {
    logits.iter().enumerate().filter(|&(_, &logit)| logit >= floor).map(|(id, &logit)| (id as u32, logit)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampler(change: impl FnOnce(&mut Sampling)) -> Sampler {
        let mut sampling = Sampling { temperature: 1.0, seed: 1, ..Sampling::greedy() };
        change(&mut sampling);
        Sampler::new(sampling, 0)
    }

    /// How often each of four tokens with probabilities .4 .3 .2 .1 is drawn of 10,000.
    fn counts(mut sampler: Sampler) -> [usize; 4] {
        let mut counts = [0; 4];
        for _ in 0..10_000 {
            let mut logits = [0.4f32.ln(), 0.3f32.ln(), 0.2f32.ln(), 0.1f32.ln()];
            counts[sampler.draw(Isa::Portable, &mut logits, &[]).unwrap().id as usize] += 1;
        }
        counts
    }

    #[test]
    fn tokens_are_drawn_by_their_probability() {
        let counts = counts(sampler(|_| ()));
        for (count, want) in counts.into_iter().zip([4_000, 3_000, 2_000, 1_000]) {
            assert!(usize::abs_diff(count, want) < 250, "{counts:?}");
        }
    }

    #[test]
    fn each_knob_keeps_what_it_says() {
        assert_eq!(counts(sampler(|s| s.top_k = 2))[2..], [0, 0]);
        assert_eq!(counts(sampler(|s| s.top_p = 0.65))[2..], [0, 0]);
        assert_eq!(counts(sampler(|s| s.min_p = 0.4))[3..], [0]);
        assert!(counts(sampler(|s| s.min_p = 0.4))[2] > 0);
        assert_eq!(counts(sampler(|s| s.temperature = 0.0)), [10_000, 0, 0, 0]);
    }

    #[test]
    fn the_same_seed_draws_the_same_tokens() {
        let draw = |seed| {
            let mut sampler = sampler(|s| s.seed = seed);
            (0..50).map(|_| sampler.draw(Isa::Portable, &mut [0.0; 100], &[]).unwrap().id).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn the_penalty_avoids_what_was_written_and_leaves_logits_as_they_were() {
        let mut sampler = sampler(|s| (s.temperature, s.repetition_penalty) = (0.0, 1.5));
        let mut logits = [2.0, 1.9, -1.0];
        assert_eq!(sampler.draw(Isa::Portable, &mut logits, &[0]).unwrap().id, 1);
        assert_eq!(logits, [2.0, 1.9, -1.0]);
    }

    #[test]
    fn not_a_number_is_noticed() {
        assert_eq!(sampler(|_| ()).draw(Isa::Portable, &mut [1.0, f32::NAN], &[]), None);
    }

    #[test]
    fn the_likeliest_come_best_first() {
        let logits: Vec<f32> = (0..1000).map(|i| ((i * 7919) % 1000) as f32).collect();
        let top = likeliest(&logits, 5);
        assert_eq!(top.iter().map(|t| t.1).collect::<Vec<_>>(), [999.0, 998.0, 997.0, 996.0, 995.0]);
        assert_eq!(argmax(&logits), top[0].0);
    }
}
