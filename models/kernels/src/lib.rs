//! CPU kernels for quantised language models, and the only crate of Synod that holds `unsafe` code.
//!
//! Weights are packed once at load into *panels* of 16 output rows in the file's own bits ([`PackedMatrix`]);
//! activations are quantised to int8 per 32 values ([`Activations`]). Each operation takes a whole ragged batch of rows
//! and splits it over a [`Team`] of threads. Every kernel has a portable twin that tests hold it against; which tier
//! runs is found at run time ([`Isa`]) and can be forced with `SYNOD_ISA`.

pub mod activations;
mod arena;
pub mod attention;
pub mod elementwise;
mod fixed;
pub mod format;
mod isa;
mod kv;
pub mod linear;
pub mod mapped;
mod pack;
pub mod rope;
mod team;
mod tile;

pub use activations::Activations;
pub use arena::Arena;
pub use format::Format;
pub use isa::Isa;
pub use kv::{BLOCK_TOKENS, KvCache, KvShape};
pub use pack::{Block, PackError, PackedMatrix, Packer};
pub use team::Team;
