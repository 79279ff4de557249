//! Reads the JSON and YAML that language models write.
//!
//! Models put prose and fences around what they were asked for, leave commas and quotes out or in, write Python's literals,
//! and stop in the middle. [`json()`] and [`yaml()`] read what a strict parser reads exactly as it does, and else what was
//! meant: every repair is listed with its place, and where more than one reading is possible the note is a
//! [doubt](Kind::is_doubt). Nothing is made up: a value that isn't there is `null` with a doubt, what was cut off ends where it
//! was cut.
//!
//! ```
//! let read = synod_lenient::json("Sure! Here it is:\n```json\n{'name': 'Ada', \"born\": 1815,}\n```").unwrap();
//! assert_eq!(read.value["born"], 1815);
//! assert!(!read.is_strict() && read.is_certain());
//! ```

mod document;
mod flow;
mod json;
mod note;
mod scalar;
mod yaml;

pub use json::json;
pub use note::{Kind, Note, Read, Unread};
pub use yaml::yaml;

/// Longest text that is read, in bytes.
pub const MAX_BYTES: usize = 4 << 20;
/// Deepest nesting that is read.
pub const MAX_DEPTH: usize = 100;
/// Most values that one document may have, those of repeated YAML aliases counted each time.
pub const MAX_VALUES: usize = 1 << 18;

/// The readers without a strict parser before them, to hold them against one.
#[doc(hidden)]
pub mod tolerant {
    pub use crate::{json::tolerant as json, yaml::strict as strict_yaml, yaml::tolerant as yaml};
}
