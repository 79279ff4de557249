//! Records: what was asked, what each model was given, to the token, and what came of it.
//!
//! A run tells the [`Recorder`] when it begins and ends, and `Recorded` nodes tell it of each call. What it is told goes
//! through a bounded queue to a thread that alone writes the file: where that is slow or its disk is full, records are
//! dropped and counted, and no run is any the wiser. [`Reader`] reads the file, whoever writes it.

mod document;
mod ended;
mod entry;
mod file;
mod queue;
mod reader;
mod recorded;
mod recorder;
mod redact;
mod retention;
#[cfg(test)]
mod tests;
mod writer;

use std::{path::PathBuf, time::Duration};

pub use document::{
    Began, Called, Ended, Line, Piece, Plan, Prompt, Record, Seat, StageEnd, Stretch, Times, Tokens, TopologyText,
};
pub use reader::{Filter, ReadError, Reader};
pub(crate) use recorded::Recorded;
pub use recorder::Recorder;
pub(crate) use recorder::unix_ms;
pub(crate) use redact::hex;

/// Where and how runs are recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The file. Its folder is made if it is missing; both are for their owner alone.
    pub path: PathBuf,
    /// Older runs are deleted.
    pub max_age: Duration,
    /// The oldest runs are deleted while there are more bytes than this.
    pub max_bytes: u64,
    /// What becomes of texts.
    pub texts: Texts,
}

/// What becomes of the texts that people and models wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Texts {
    /// They are kept, with their tokens.
    Keep,
    /// Their sha256 is kept: whether two are the same can be told, what they say can only be guessed.
    Hash,
    /// Nothing is.
    Drop,
}
