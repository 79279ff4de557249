//! What a model takes of a machine: memory by formula, speed from what the machine was measured to do.
//!
//! | memory | formula |
//! |---|---|
//! | weights | Σ matrices in panels of their own format + Σ vectors · 4 |
//! | keys and values | layers · key-value heads · head width · 2 · 2 bytes a token, in blocks of 64 tokens |
//! | activations | 256 rows · (what a layer's widest operation reads and writes + logits of the rows that write) · 4 |
//! | overhead | the program, and the vocabulary with its merges |
//!
//! A step's time is the sum of its linear layers (multiply-adds over the measured rate of their format at that number of
//! rows: bound by memory for one row, by arithmetic for many), attention as measured at the context asked for, and what
//! threads take to meet.

mod footprint;
mod speed;

pub use footprint::{Footprint, Matrix, Memory, PRECISIONS, Precision};
pub use speed::{Forecast, Machine};
