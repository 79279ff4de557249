//! What a forward pass works on besides weights and activations.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use synod_kernels::{Activations, KvCache, Team, attention::Batch, rope::Angles, rope::Rope};

/// One forward pass: the tokens of several sequences, each with any number of new ones (a ragged batch).
#[derive(Debug)]
pub struct Step {
    /// Which token of which sequence each row is.
    pub batch: Batch,
    /// Rows whose logits are wanted, ascending.
    pub outputs: Vec<usize>,
    /// Sines and cosines of the rows' positions, for each of the model's rotary embeddings.
    pub angles: Vec<Angles>,
    /// Where it is computed.
    pub workspace: Arc<Workspace>,
}

impl Step {
    /// A pass over `batch` in `workspace`, for a model with these rotary embeddings.
    pub fn new(batch: Batch, outputs: Vec<usize>, ropes: &[Rope], workspace: &Arc<Workspace>) -> Self {
        let angles = ropes.iter().map(|rope| rope.angles(batch.rows.iter().map(|row| row.position))).collect();
        Self { batch, outputs, angles, workspace: workspace.clone() }
    }
}

/// A model's state outside its tensors: threads, cached keys and values, and buffers that are kept from step to step.
#[derive(Debug)]
pub struct Workspace {
    team: Arc<Team>,
    cache: Mutex<KvCache>,
    activations: Mutex<Activations>,
}

impl Workspace {
    /// A workspace around a cache.
    pub fn new(team: Arc<Team>, cache: KvCache) -> Self {
        Self { team, cache: Mutex::new(cache), activations: Mutex::default() }
    }

    /// The threads that compute.
    pub fn team(&self) -> &Team {
        &self.team
    }

    /// Keys and values of past tokens. Only one step runs at a time, so this never waits.
    pub fn cache(&self) -> MutexGuard<'_, KvCache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The buffer of quantised layer inputs.
    pub fn activations(&self) -> MutexGuard<'_, Activations> {
        self.activations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
