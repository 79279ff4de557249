//! What a forward pass works on besides weights and activations.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use burn::tensor::Device;
use synod_kernels::{
    Activations, KvCache, KvShape, Team,
    attention::{Batch, Vectors},
    rope::{Angles, Rope},
};

#[cfg(feature = "wgpu")]
use super::ops::cube::{DeviceKvCache, Plan};

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
    /// Whether it should go on.
    pub(super) wanted: Wanted,
    /// The batch in the device's memory, from the first operation that needs it there.
    #[cfg(feature = "wgpu")]
    pub(super) plan: std::sync::OnceLock<Plan>,
}

impl Step {
    /// A pass over `batch` in `workspace`, for a model with these rotary embeddings.
    pub fn new(batch: Batch, outputs: Vec<usize>, ropes: &[Rope], workspace: &Arc<Workspace>) -> Self {
        let angles = ropes.iter().map(|rope| rope.angles(batch.rows.iter().map(|row| row.position))).collect();
        Self {
            batch,
            outputs,
            angles,
            workspace: workspace.clone(),
            wanted: Wanted::default(),
            #[cfg(feature = "wgpu")]
            plan: std::sync::OnceLock::new(),
        }
    }

    /// The same, given up once nobody wants it.
    pub fn as_long_as(self, wanted: Wanted) -> Self {
        Self { wanted, ..self }
    }
}

/// Asked between the layers of a pass: whether anybody still waits for it. A long prompt's pass takes seconds on a slow
/// machine, and those who asked for it may go away meanwhile.
pub struct Wanted(Box<dyn Fn() -> bool + Send + Sync>);

impl Wanted {
    /// As `by` says each time.
    pub fn new(by: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Box::new(by))
    }

    /// Whether somebody waits.
    pub fn is_so(&self) -> bool {
        (self.0)()
    }
}

impl Default for Wanted {
    /// To the end in any case.
    fn default() -> Self {
        Self::new(|| true)
    }
}

impl fmt::Debug for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Wanted").field(&self.is_so()).finish()
    }
}

/// A model's state outside its tensors: threads, cached keys and values, and buffers that are kept from step to step.
#[derive(Debug)]
pub struct Workspace {
    team: Arc<Team>,
    activations: Mutex<Activations>,
    vectors: Mutex<Vectors>,
    cache: Cache,
}

/// Keys and values of past tokens, where their device reads them.
#[derive(Debug)]
enum Cache {
    Host(Mutex<KvCache>),
    #[cfg(feature = "wgpu")]
    Device(Mutex<DeviceKvCache>),
}

impl Workspace {
    /// A workspace for a model on `device` with room for `blocks` blocks of keys and values.
    ///
    /// # Errors
    /// When there is no address space for them.
    pub fn new(team: Arc<Team>, device: &Device, shape: KvShape, blocks: usize) -> std::io::Result<Self> {
        Ok(Self {
            team,
            activations: Mutex::default(),
            vectors: Mutex::default(),
            cache: Cache::new(device, shape, blocks)?,
        })
    }

    /// Bytes of a block of keys and values on `device`.
    pub fn block_bytes(device: &Device, shape: KvShape) -> usize {
        #[cfg(feature = "wgpu")]
        if *device != Device::flex() {
            return DeviceKvCache::block_bytes(shape);
        }
        let _ = device;
        shape.block_bytes()
    }

    /// The threads that compute.
    pub fn team(&self) -> &Team {
        &self.team
    }

    /// Keys and values of past tokens of a model on the CPU. Only one step runs at a time, so this never waits.
    pub fn cache(&self) -> MutexGuard<'_, KvCache> {
        match &self.cache {
            Cache::Host(cache) => cache.lock().unwrap_or_else(PoisonError::into_inner),
            #[cfg(feature = "wgpu")]
            Cache::Device(_) => unreachable!("the cache is on the device of the activations"),
        }
    }

    /// Keys and values of past tokens of a model on a device.
    #[cfg(feature = "wgpu")]
    pub(super) fn device_cache(&self) -> MutexGuard<'_, DeviceKvCache> {
        match &self.cache {
            Cache::Device(cache) => cache.lock().unwrap_or_else(PoisonError::into_inner),
            Cache::Host(_) => unreachable!("the cache is on the device of the activations"),
        }
    }

    /// Copies keys and values of block `from` to block `to`.
    pub fn copy_block(&self, from: usize, to: usize) {
        match &self.cache {
            Cache::Host(_) => self.cache().copy(from, to),
            #[cfg(feature = "wgpu")]
            Cache::Device(_) => self.device_cache().copy(from, to),
        }
    }

    /// The buffer of quantised layer inputs.
    pub fn activations(&self) -> MutexGuard<'_, Activations> {
        self.activations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The buffer of a layer's queries, keys and values.
    pub fn vectors(&self) -> MutexGuard<'_, Vectors> {
        self.vectors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cache {
    fn new(device: &Device, shape: KvShape, blocks: usize) -> std::io::Result<Self> {
        #[cfg(feature = "wgpu")]
        if *device != Device::flex() {
            return Ok(Self::Device(Mutex::new(DeviceKvCache::new(device, shape, blocks))));
        }
        let _ = device;
        Ok(Self::Host(Mutex::new(KvCache::new(shape, blocks)?)))
    }
}
