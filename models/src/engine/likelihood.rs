//! How likely a model finds a given text after a given beginning: what chooses between texts without writing them.

use synod_kernels::{
    attention::{Batch, BatchRow},
    elementwise::log_sum_exp,
};

use super::{
    EngineError,
    cache::{Place, blocks_for},
    scheduler::Scheduler,
};

/// Rows computed together.
const CHUNK: usize = 64;

/// A text to be judged.
pub(super) struct LikelihoodRequest {
    /// The beginning, then the text.
    pub(super) ids: Vec<u32>,
    /// Where the text begins; at least 1.
    pub(super) from: usize,
    /// Tokens whose log-probability after the text is wanted.
    pub(super) next: Vec<u32>,
    pub(super) reply: std::sync::mpsc::SyncSender<Result<Likelihood, EngineError>>,
}

/// What a model thinks of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Likelihood {
    /// The natural logarithm of each token's probability after what stands before it.
    pub tokens: Vec<f32>,
    /// The same of each token that was asked about, directly after the text.
    pub next: Vec<f32>,
    /// Tokens of the beginning and the text that had to be computed; the others were in the cache.
    pub computed: usize,
}

impl Scheduler {
    /// Computes what of `request` is not in the cache, in chunks beside whatever runs, and keeps it there.
    pub(super) fn likelihood(&mut self, request: &LikelihoodRequest) -> Result<Likelihood, EngineError> {
        let LikelihoodRequest { ids, from, next, .. } = request;
        if blocks_for(ids.len()) > self.unpromised() {
            return Err(EngineError::NoMemory);
        }
        let first_output = from - 1;
        let mut place = Place::default();
        let cached = self.cache.follow(&mut place, &ids[..first_output]);
        let grown = self.cache.grow(&mut place, ids.len());
        debug_assert!(grown, "what is not promised is there");
        let mut likelihood = Likelihood { tokens: Vec::new(), next: Vec::new(), computed: ids.len() - cached };
        for start in (cached..ids.len()).step_by(CHUNK) {
            let end = ids.len().min(start + CHUNK);
            let rows = (start..end).map(|position| BatchRow { sequence: 0, position }).collect();
            let batch = Batch { rows, tables: vec![place.table().to_vec()] };
            let outputs = (first_output.max(start)..end).map(|position| position - start).collect();
            let logits = self.model.forward(&ids[start..end], batch, outputs);
            for (row, position) in logits.chunks_exact(self.model.vocabulary()).zip(first_output.max(start)..) {
                let total = log_sum_exp(self.model.isa(), row);
                match ids.get(position + 1) {
                    Some(&id) => likelihood.tokens.push(row[id as usize] - total),
                    None => likelihood.next.extend(next.iter().map(|&id| row[id as usize] - total)),
                }
            }
        }
        self.cache.release(place, ids);
        match likelihood.tokens.iter().chain(&likelihood.next).all(|logprob| logprob.is_finite()) {
            true => Ok(likelihood),
            false => Err(EngineError::NotANumber),
        }
    }
}
