//! Stamps: what was verified, so that a model of a gigabyte is not hashed at every start.
//!
//! `NAME.verified` beside the model holds size, modification time and sum of each file as they were when the sum was
//! last computed. A file that still has that size and time is taken to be unchanged; any other is hashed again.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io::{self, Write};
use std::path::Path;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use super::digest::Sha256Sum;

/// What was verified of one model, by file path as in its manifest.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Stamp {
    files: BTreeMap<String, FileStamp>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct FileStamp {
    size_bytes: u64,
    mtime_ns: u64,
    sha256: Sha256Sum,
}

impl FileStamp {
    fn of(metadata: &Metadata, sha256: Sha256Sum) -> io::Result<Self> {
        let since = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mtime_ns = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        Ok(Self { size_bytes: metadata.len(), mtime_ns, sha256 })
    }
}

impl Stamp {
    /// What the stamp says; nothing if there is none or it cannot be read, which only costs a hash.
    pub(super) fn read(path: &Path) -> Self {
        fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    /// Whether the file with this metadata was verified to have this sum.
    pub(super) fn covers(&self, file: &str, metadata: &Metadata, sha256: Sha256Sum) -> bool {
        let now = FileStamp::of(metadata, sha256).ok();
        now.is_some() && self.files.get(file) == now.as_ref()
    }

    /// Notes that the file has this sum; `metadata` must be from before it was hashed.
    pub(super) fn add(&mut self, file: &str, metadata: &Metadata, sha256: Sha256Sum) -> io::Result<()> {
        self.files.insert(file.to_owned(), FileStamp::of(metadata, sha256)?);
        Ok(())
    }

    /// Forgets the file.
    pub(super) fn remove(&mut self, file: &str) {
        self.files.remove(file);
    }

    /// Writes it so that a reader sees the old or the new one.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        write_atomically(path, &serde_json::to_vec_pretty(self)?)
    }
}

/// Writes a small file beside `path` and renames it into place.
pub(super) fn write_atomically(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let mut file = fs::File::create(&name)?;
    let written = file.write_all(content).and_then(|()| file.sync_data()).and_then(|()| fs::rename(&name, path));
    written.inspect_err(|_| {
        // The error matters, not whether its half-written file could be removed.
        let _ = fs::remove_file(&name);
    })
}
