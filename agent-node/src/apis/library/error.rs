//! What can go wrong with catalogues.

use std::{io, path::PathBuf};

use crate::apis::sources::{Skipped, SourceError};

/// Why a catalogue could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// There is none of that name.
    #[error("no catalogue is called `{name}`: {}", match known.as_slice() {
        [] => "there is none yet; `synod apis add` adds one".to_owned(),
        known => format!("there are {}", known.join(", ")),
    })]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// A name that cannot be a folder's.
    #[error(
        "`{name}` cannot name a catalogue: use up to {limit} letters, digits, `.`, `_` and `-`, a letter or digit first"
    )]
    Name {
        /// The name, cut.
        name: String,
        /// Characters at most.
        limit: usize,
    },
    /// There are too many.
    #[error("there are {limit} catalogues already: remove one first")]
    TooMany {
        /// The most.
        limit: usize,
    },
    /// The source could not be read.
    #[error("cannot read the source")]
    Source(#[source] SourceError),
    /// Nothing in the source is an API.
    #[error("no API was found in `{location}`{}", match skipped.first() {
        Some(first) => format!(": {} records were not understood, the first ({}): {}", skipped.len(), first.place, first.reason),
        None => String::new(),
    })]
    Empty {
        /// The source.
        location: String,
        /// What was left out.
        skipped: Vec<Skipped>,
    },
    /// A file could not be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file or folder could not be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file is not what was written.
    #[error("`{}` is damaged ({reason}): add the catalogue again with `synod apis add`", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How that shows.
        reason: String,
    },
    /// A thread panicked.
    #[error("internal error: {0}")]
    Task(String),
}
