//! What a model takes of a machine: memory by formula, speed from what the machine was measured to do.
//!
//! | memory | formula |
//! |---|---|
//! | weights | Σ matrices in panels of their own format + Σ vectors · 4 |
//! | keys and values | layers · key-value heads · 2 · (head width · 2 + 4) bytes a token, in blocks of 64 tokens |
//! | activations | 256 rows · (what a layer's widest operation reads and writes + logits of the rows that write) · 4 |
//! | overhead | the program, and the tokenizer (a vocabulary with its merges or scores) |
//!
//! Speed is that of some of the model's layers (as many as caches do not hold) and of its output head, measured on this
//! machine: steps of one row, of a row of each sequence and of a prompt's chunk, at the context asked for. All layers
//! take so much longer as they have more bytes (rows that write: bound by memory) or weights (a prompt: by arithmetic).

mod footprint;
mod speed;

pub use footprint::{Footprint, Matrix, Memory, PRECISIONS, Place, Precision};
pub use speed::{Forecast, Machine};
