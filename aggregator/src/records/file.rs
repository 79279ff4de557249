//! The file: SQLite in WAL mode, for its owner alone, its version in `user_version`.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rusqlite::{Connection, ErrorCode, OpenFlags};
use thiserror::Error;

/// How long a writer waits for another process that writes the same file.
const BUSY: Duration = Duration::from_secs(5);

/// What takes a file from each version to the next, beginning with an empty one. Only ever appended to.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE runs (
        run_id TEXT PRIMARY KEY,
        began_ms INTEGER NOT NULL,
        topology TEXT NOT NULL,
        part_of TEXT NOT NULL,              -- the run that it is a part of, or ''
        began TEXT NOT NULL,                -- JSON: Began
        state TEXT,                         -- NULL until it ended, with all below
        total_ms INTEGER,
        degraded INTEGER,
        error TEXT,
        ended TEXT                          -- JSON: Ended
    );
    CREATE INDEX runs_by_age ON runs (began_ms);
    CREATE TABLE calls (
        id INTEGER PRIMARY KEY,
        run_id TEXT NOT NULL,
        began_ms INTEGER NOT NULL,
        called TEXT NOT NULL                -- JSON: Called
    );
    CREATE INDEX calls_by_run ON calls (run_id, began_ms);
"];

/// Why the file cannot be used.
#[derive(Debug, Error)]
pub(super) enum FileError {
    #[error("making the folder or file {path}")]
    Make { path: PathBuf, source: io::Error },
    #[error("opening {path}")]
    Open { path: PathBuf, source: rusqlite::Error },
    #[error(
        "{path} is of a newer version of Synod (version {found} of the file, this one knows {known}): update, or name another file"
    )]
    Newer { path: PathBuf, found: usize, known: usize },
}

impl FileError {
    /// Whether what is there is no records file, or a broken one.
    pub(super) fn is_corrupt(&self) -> bool {
        matches!(self, Self::Open { source, .. } if is_corrupt(source))
    }
}

/// An error with its cause, in one line.
pub(super) fn with_cause(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default())
}

pub(super) fn is_corrupt(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// Opens the file for writing; makes it, or brings it to this version.
pub(super) fn open(path: &Path) -> Result<Connection, FileError> {
    let make = |source| FileError::Make { path: path.to_owned(), source };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists()) {
        private_folder().create(folder).map_err(make)?;
    }
    // SQLite gives the files beside it the mode of this one.
    private_file().open(path).map_err(make)?;
    let failed = |source| FileError::Open { path: path.to_owned(), source };
    let mut connection = Connection::open(path).map_err(failed)?;
    let version = prepare(&mut connection).map_err(failed)?;
    match version {
        Ok(()) => Ok(connection),
        Err(found) => Err(FileError::Newer { path: path.to_owned(), found, known: MIGRATIONS.len() }),
    }
}

/// Opens a file that is there for reading.
pub(super) fn open_to_read(path: &Path) -> Result<Connection, FileError> {
    let failed = |source| FileError::Open { path: path.to_owned(), source };
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(failed)?;
    connection.busy_timeout(BUSY).map_err(failed)?;
    match user_version(&connection).map_err(failed)? {
        found if found > MIGRATIONS.len() => {
            Err(FileError::Newer { path: path.to_owned(), found, known: MIGRATIONS.len() })
        }
        _ => Ok(connection),
    }
}

/// Sets the connection up and migrates; the version, where that is a newer one.
fn prepare(connection: &mut Connection) -> Result<Result<(), usize>, rusqlite::Error> {
    connection.busy_timeout(BUSY)?;
    // Must come before the first table: what is deleted is given back a little at a time.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // A crash of the machine may cost the last runs, never the file.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "journal_size_limit", 16 << 20)?;
    let found = user_version(connection)?;
    if found > MIGRATIONS.len() {
        return Ok(Err(found));
    }
    if found < MIGRATIONS.len() {
        let change = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        // Another process may have been faster.
        let found = user_version(&change)?;
        for migration in MIGRATIONS.iter().skip(found) {
            change.execute_batch(migration)?;
        }
        change.pragma_update(None, "user_version", MIGRATIONS.len().max(found))?;
        change.commit()?;
    }
    Ok(Ok(()))
}

fn user_version(connection: &Connection) -> Result<usize, rusqlite::Error> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Moves a file that cannot be used out of the way, with what SQLite keeps beside it; its new name.
pub(super) fn move_aside(path: &Path) -> io::Result<PathBuf> {
    let name = |path: &Path, ending: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    let aside = name(path, &format!(".broken-{}", super::unix_ms(SystemTime::now())));
    fs::rename(path, &aside)?;
    for ending in ["-wal", "-shm"] {
        match fs::rename(name(path, ending), name(&aside, ending)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(aside)
}

fn private_folder() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
