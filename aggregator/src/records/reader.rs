//! What is recorded, for who asks. Reads beside the writer, in whatever process that is.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    Line, Record,
    file::{FileError, open_to_read, with_cause},
};
use crate::error::{Error, ErrorCode};

/// The newest run, in place of an id.
const LAST: &str = "last";
/// Ids that an ambiguous beginning is answered with.
const SHOWN: usize = 4;

/// Which runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// At most so many, the newest.
    pub limit: usize,
    /// Only through this topology; empty for all.
    pub topology: String,
    /// Only those that began then or later, in milliseconds since 1970.
    pub since_ms: u64,
}

/// Why there is no record to read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no file.
    #[error("nothing is recorded in {0}")]
    Nothing(PathBuf),
    /// The file cannot be used.
    #[error("{}", with_cause(&**.0))]
    File(Box<dyn std::error::Error + Send + Sync>),
    /// It cannot be read.
    #[error("reading records: {0}")]
    Read(#[from] rusqlite::Error),
    /// A record is not what this version writes.
    #[error("the record of run {run_id} cannot be read: {source}")]
    Record {
        /// Whose.
        run_id: String,
        /// Why.
        source: serde_json::Error,
    },
    /// There is no such run.
    #[error("no run \"{0}\" is recorded: `synod runs list` says which are")]
    Unknown(String),
    /// There is more than one.
    #[error("\"{beginning}\" begins the ids of several runs, among them {}: write more of it", .some.join(", "))]
    Ambiguous {
        /// What was given.
        beginning: String,
        /// Some of them.
        some: Vec<String>,
    },
    /// The task that read broke down.
    #[error("reading records broke down: this is a bug, please report it")]
    Broken,
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        let code = match &error {
            ReadError::Nothing(_) | ReadError::Unknown(_) => ErrorCode::RunNotFound,
            ReadError::Ambiguous { .. } => ErrorCode::InvalidRequest,
            _ => ErrorCode::Internal,
        };
        Self::new(code, error.to_string())
    }
}

impl From<FileError> for ReadError {
    fn from(error: FileError) -> Self {
        Self::File(Box::new(error))
    }
}

/// A file of records, open for reading.
#[derive(Debug)]
pub struct Reader(Connection);

impl Reader {
    /// Opens it.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        if !path.exists() {
            return Err(ReadError::Nothing(path.to_owned()));
        }
        Ok(Self(open_to_read(path)?))
    }

    /// The newest runs first. Those that are a part of another are not among them.
    pub fn list(&self, filter: &Filter) -> Result<Vec<Line>, ReadError> {
        let sql = "SELECT run_id, topology, began_ms, state, total_ms, degraded, error FROM runs
            WHERE part_of = '' AND began_ms >= ?1 AND (?2 = '' OR topology = ?2) ORDER BY began_ms DESC, rowid DESC LIMIT ?3";
        let limit = i64::try_from(filter.limit).unwrap_or(i64::MAX);
        let since = i64::try_from(filter.since_ms).unwrap_or(i64::MAX);
        let mut statement = self.0.prepare_cached(sql)?;
        let lines = statement.query_map(params![since, filter.topology, limit], line)?;
        Ok(lines.collect::<Result<_, _>>()?)
    }

    /// The id of a run: given whole, as a beginning that no other has, or as `last`.
    pub fn resolve(&self, run: &str) -> Result<String, ReadError> {
        if run == LAST {
            let newest = self.list(&Filter { limit: 1, ..Filter::default() })?.pop();
            return newest.map(|line| line.run_id).ok_or_else(|| ReadError::Unknown(run.to_owned()));
        }
        let sql = "SELECT run_id FROM runs WHERE run_id = ?1
            UNION ALL SELECT run_id FROM runs WHERE part_of = '' AND substr(run_id, 1, length(?1)) = ?1 AND run_id <> ?1
            LIMIT ?2";
        let mut statement = self.0.prepare_cached(sql)?;
        let found = statement.query_map(params![run, SHOWN as i64], |row| row.get(0))?;
        let mut found: Vec<String> = found.collect::<Result<_, _>>()?;
        match found.len() {
            0 => Err(ReadError::Unknown(run.to_owned())),
            1 => Ok(found.remove(0)),
            _ if found[0] == run => Ok(found.remove(0)),
            _ => Err(ReadError::Ambiguous { beginning: run.to_owned(), some: found }),
        }
    }

    /// All of a run, by its whole id.
    pub fn get(&self, run_id: &str) -> Result<Record, ReadError> {
        let sql = "SELECT began, ended FROM runs WHERE run_id = ?";
        let row = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?));
        let found = self.0.prepare_cached(sql)?.query_row([run_id], row).optional()?;
        let (began, ended) = found.ok_or_else(|| ReadError::Unknown(run_id.to_owned()))?;
        let mut statement = self.0.prepare_cached("SELECT called FROM calls WHERE run_id = ? ORDER BY began_ms, id")?;
        let calls = statement.query_map([run_id], |row| row.get::<_, String>(0))?;
        let calls: Vec<String> = calls.collect::<Result<_, _>>()?;
        let wrong = |source| ReadError::Record { run_id: run_id.to_owned(), source };
        Ok(Record {
            began: serde_json::from_str(&began).map_err(wrong)?,
            ended: ended.map(|ended| serde_json::from_str(&ended)).transpose().map_err(wrong)?,
            calls: calls.iter().map(|call| serde_json::from_str(call)).collect::<Result<_, _>>().map_err(wrong)?,
        })
    }
}

fn line(row: &Row<'_>) -> Result<Line, rusqlite::Error> {
    Ok(Line {
        run_id: row.get(0)?,
        topology: row.get(1)?,
        began_ms: row.get(2)?,
        state: row.get::<_, Option<String>>(3)?.unwrap_or_else(|| "unfinished".to_owned()),
        total_ms: row.get::<_, Option<u64>>(4)?.unwrap_or_default(),
        degraded: row.get::<_, Option<bool>>(5)?.unwrap_or_default(),
        error: row.get::<_, Option<String>>(6)?.unwrap_or_default(),
    })
}
