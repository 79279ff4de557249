//! The parts that architectures are built from, as burn modules.
//!
//! Weights stay packed in the file's own bits ([`PackedLinear`]); the operations over them are a backend extension
//! ([`ops::DecoderOps`]), so that the same module runs on every backend that implements it. What changes from step to
//! step (the batch, the cache) is not in tensors but in a [`Step`].

mod attention;
mod feed_forward;
mod head;
mod layer;
mod linear;
mod loader;
pub mod ops;
mod step;
mod weight;

pub use attention::{HeadNorms, SelfAttention};
pub use feed_forward::FeedForward;
pub use head::{Embedding, OutputHead};
pub use layer::DecoderLayer;
pub use linear::{PackedLinear, RmsNorm};
pub(crate) use loader::packed_format;
pub use loader::{Loader, WeightError};
#[cfg(feature = "wgpu")]
pub use ops::cube::DeviceMatrix;
pub use step::{Step, Wanted, Workspace};
pub use synod_kernels::{
    attention::{Batch, BatchRow, Heads},
    elementwise::Gate,
    rope::{Pairs, Rope},
};
pub use weight::Weight;
