//! What was called: one line before a call is sent, one after. A call whose second line is missing is *unknown*: the process
//! died, or the disk filled up, while it was under way.
//!
//! Lines of JSON that are only ever appended and synced, not a database: what matters is that the first line is on disk
//! before the call leaves, that several processes can write, and that a person can read it when everything else is broken.
//! A line that was cut short by a crash is passed over: of a first line nothing was sent yet, of a second the call is unknown.

mod entry;

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

pub use entry::{Entry, Intent, State, Undo};
pub(super) use entry::{Line, Outcome};

/// Room that is kept for the lines of a call that is begun.
const OUTCOME_ROOM_BYTES: u64 = 512 * 1024;
/// No line is longer; arguments are limited to less than this.
const LINE_LIMIT_BYTES: u64 = 4 * 1024 * 1024;

/// A journal on disk.
#[derive(Debug, Clone)]
pub struct Journal {
    path: PathBuf,
    limit_bytes: u64,
}

/// What went wrong with the journal.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each says itself")]
pub enum JournalError {
    #[error("cannot {what} the journal {}: nothing is called that cannot be recorded", .path.display())]
    Io {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the journal {} has reached {limit_bytes} bytes: move it away to keep it, and a new one is begun", .path.display())]
    Full { path: PathBuf, limit_bytes: u64 },
    #[error("cannot undo {id}: {why}")]
    NotUndoable { id: String, why: &'static str },
}

impl Journal {
    /// The journal in this file, which is made when something is written.
    pub fn at(path: impl Into<PathBuf>, limit_bytes: u64) -> Self {
        Self { path: path.into(), limit_bytes }
    }

    /// All calls, oldest first.
    ///
    /// # Errors
    /// The file cannot be read; one that is not there holds no calls.
    pub fn entries(&self) -> Result<Vec<Entry>, JournalError> {
        match File::open(&self.path) {
            Ok(file) => read(file).map_err(self.io("read")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(self.io("open")(error)),
        }
    }

    /// Writes that a call is about to be made. When it returns, this is on disk.
    pub(super) fn intend(&self, intent: Intent) -> Result<String, JournalError> {
        let mut file = self.open()?;
        if let Some(undone) = &intent.undoes {
            self.claim(&mut file, undone)?;
        }
        let id = Uuid::now_v7().to_string();
        let length = file.metadata().map_err(self.io("measure"))?.len();
        if length + OUTCOME_ROOM_BYTES > self.limit_bytes {
            return Err(JournalError::Full { path: self.path.clone(), limit_bytes: self.limit_bytes });
        }
        self.append(&mut file, &Line::intent(id.clone(), intent))?;
        Ok(id)
    }

    /// Writes what came of it.
    pub(super) fn conclude(&self, id: &str, outcome: Outcome) -> Result<(), JournalError> {
        let mut file = self.open()?;
        self.append(&mut file, &Line::outcome(id.to_owned(), outcome))
    }

    /// Under the lock, so that of two who undo a call at once one comes too late.
    fn claim(&self, file: &mut File, id: &str) -> Result<(), JournalError> {
        let entries = read(&*file).map_err(self.io("read"))?;
        let why = match entries.iter().find(|entry| entry.id == id) {
            None => "there is no such call in the journal",
            Some(entry) => match entry.not_undoable() {
                Some(why) => why,
                None => return Ok(()),
            },
        };
        Err(JournalError::NotUndoable { id: id.to_owned(), why })
    }

    /// Opens and locks; the lock ends with the file.
    fn open(&self) -> Result<File, JournalError> {
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder).map_err(self.io("make the folder of"))?;
        }
        // Arguments may be private: nobody else reads them.
        let opened = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&self.path);
        let file = opened.map_err(self.io("open"))?;
        file.lock().map_err(self.io("lock"))?;
        Ok(file)
    }

    fn append(&self, file: &mut File, line: &Line) -> Result<(), JournalError> {
        let mut text = serde_json::to_vec(line).map_err(|error| self.io("write")(error.into()))?;
        text.push(b'\n');
        let length = file.seek(SeekFrom::End(0)).map_err(self.io("measure"))?;
        if !ends_line(file, length).map_err(self.io("read"))? {
            // Somebody crashed in the middle of a line.
            text.insert(0, b'\n');
        }
        let written = file.write_all(&text).and_then(|()| file.sync_data());
        written.map_err(|error| {
            // What is there of the line goes again, if it can.
            let _ = file.set_len(length);
            self.io("write")(error)
        })
    }

    fn io(&self, what: &'static str) -> impl FnOnce(io::Error) -> JournalError {
        let path: PathBuf = Path::to_owned(&self.path);
        move |source| JournalError::Io { what, path, source }
    }
}

fn ends_line(file: &mut File, length: u64) -> io::Result<bool> {
    if length == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::Start(length - 1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

fn read(file: impl Read) -> io::Result<Vec<Entry>> {
    let mut reader = BufReader::new(file);
    let mut entries = Vec::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.by_ref().take(LINE_LIMIT_BYTES).read_until(b'\n', &mut line)? == 0 {
            return Ok(entries);
        }
        if let Ok(line) = serde_json::from_slice(&line) {
            entry::apply(&mut entries, line);
        }
    }
}

#[cfg(test)]
mod tests;
