//! A model that draws any token a constraint allows.

#![allow(clippy::unwrap_used, dead_code, reason = "helpers of tests; not every test uses all")]

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use synod_models::{grammar::Constraint, text::Tokenizer};

/// A walk to an end of a grammar.
pub(crate) struct Walk {
    pub(crate) ids: Vec<u32>,
    pub(crate) bytes: Vec<u8>,
    /// The grammar was complete within the allowed tokens.
    pub(crate) complete: bool,
}

/// Draws allowed tokens until the constraint is finished or, where it may stop, a coin says so. With growing length, tokens
/// that bring texts to an end are drawn more often.
pub(crate) fn walk(constraint: &mut Constraint, tokenizer: &Tokenizer, seed: u64, max_tokens: usize) -> Walk {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let (mut ids, mut bytes) = (Vec::new(), Vec::new());
    while ids.len() < max_tokens {
        if constraint.is_finished() || (constraint.may_stop() && rng.random_range(0..4) == 0) {
            return Walk { ids, bytes, complete: true };
        }
        let mask = constraint.mask().unwrap();
        let allowed: Vec<u32> = mask.iter().filter(|&id| !tokenizer.is_end_of_generation(id)).collect();
        if allowed.is_empty() {
            return Walk { ids, bytes, complete: constraint.may_stop() };
        }
        let closing: Vec<u32> = allowed
            .iter()
            .copied()
            .filter(|&id| matches!(tokenizer.token_bytes(id), [b'"' | b'}' | b']' | b',', ..]))
            .collect();
        let close = !closing.is_empty() && rng.random_range(0..max_tokens) < max_tokens / 6 + ids.len();
        let choice = if close { &closing } else { &allowed };
        let id = choice[rng.random_range(0..choice.len())];
        bytes.extend_from_slice(tokenizer.token_bytes(id));
        ids.push(id);
        constraint.accept(id).unwrap();
    }
    Walk { ids, bytes, complete: constraint.may_stop() }
}
