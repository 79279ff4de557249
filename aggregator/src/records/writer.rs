//! The thread that writes the file.

use std::time::Instant;

use rusqlite::{Connection, params};
use serde::Serialize;

use super::{
    Began, Called, Ended, Settings,
    entry::Entry,
    file::{FileError, is_corrupt, move_aside, open, with_cause},
    queue::Batches,
    redact::Redact,
    retention,
};
use crate::runs::RunRecord;

/// Writes entries as they come.
pub(super) struct Writer {
    settings: Settings,
    /// None before the first entry, and after a failure.
    connection: Option<Connection>,
    /// When runs were last deleted for their age or the file's size.
    tidied: Option<Instant>,
}

impl Writer {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, connection: None, tidied: None }
    }

    /// Writes until the last entry.
    pub(super) fn run(mut self, batches: &Batches) {
        while let Some(batch) = batches.next() {
            let (orders, records): (Vec<_>, Vec<_>) =
                batch.into_iter().partition(|entry| matches!(entry, Entry::Flush(_) | Entry::Close));
            if !records.is_empty() {
                match self.write(&records) {
                    Ok(()) => batches.health().wrote(),
                    Err(why) => {
                        // Whatever it is, the next try begins from the beginning.
                        self.connection = None;
                        batches.health().lost(records.len() as u64, &why);
                    }
                }
            }
            for order in orders {
                match order {
                    Entry::Flush(written) => drop(written.send(())),
                    _ => return,
                }
            }
        }
    }

    fn write(&mut self, records: &[Entry]) -> Result<(), String> {
        match self.try_write(records) {
            Err(error) if error.is_corrupt() => {
                self.connection = None;
                let aside = move_aside(&self.settings.path).map_err(|error| error.to_string())?;
                tracing::warn!(%error, aside = %aside.display(), "the records cannot be read: moved aside, beginning anew");
                self.try_write(records)
            }
            tried => tried,
        }
        .map_err(|error| error.to_string())
    }

    fn try_write(&mut self, records: &[Entry]) -> Result<(), WriteError> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            empty => empty.insert(open(&self.settings.path)?),
        };
        let change = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        for record in records {
            put(&change, record, &self.settings)?;
        }
        change.commit()?;
        if self.tidied.is_none_or(|at| at.elapsed() >= retention::PAUSE) {
            retention::tidy(connection, &self.settings)?;
            self.tidied = Some(Instant::now());
        }
        Ok(())
    }
}

fn put(connection: &Connection, entry: &Entry, settings: &Settings) -> Result<(), WriteError> {
    match entry {
        Entry::Began(began) => put_began(connection, &began.redacted(settings.texts)),
        Entry::Called(called) => put_called(connection, &called.redacted(settings.texts)),
        Entry::Ended(run) => put_ended(connection, run, &Ended::from(&**run).redacted(settings.texts)),
        Entry::Flush(_) | Entry::Close => Ok(()),
    }
}

/// An id that is used again is its newest run's.
fn put_began(connection: &Connection, began: &Began) -> Result<(), WriteError> {
    connection.prepare_cached("DELETE FROM calls WHERE run_id = ?")?.execute([&began.run_id])?;
    let sql = "INSERT OR REPLACE INTO runs (run_id, began_ms, topology, part_of, began) VALUES (?, ?, ?, ?, ?)";
    let row = params![began.run_id, began.began_ms, began.topology.name, began.part_of, json(began)?];
    connection.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

fn put_called(connection: &Connection, called: &Called) -> Result<(), WriteError> {
    let sql = "INSERT INTO calls (run_id, began_ms, called) VALUES (?, ?, ?)";
    connection.prepare_cached(sql)?.execute(params![called.run_id, called.began_ms, json(called)?])?;
    Ok(())
}

fn put_ended(connection: &Connection, run: &RunRecord, ended: &Ended) -> Result<(), WriteError> {
    let sql = "UPDATE runs SET state = ?, total_ms = ?, degraded = ?, error = ?, ended = ? WHERE run_id = ?";
    let row = params![ended.state, ended.total_ms, ended.degraded, ended.error, json(ended)?, run.summary.run_id];
    connection.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

fn json(value: &impl Serialize) -> Result<String, WriteError> {
    serde_json::to_string(value).map_err(WriteError::Json)
}

#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error("{}", with_cause(.0))]
    File(#[from] FileError),
    #[error("writing records: {0}")]
    Write(#[from] rusqlite::Error),
    #[error("writing a record as JSON: {0}")]
    Json(serde_json::Error),
}

impl WriteError {
    fn is_corrupt(&self) -> bool {
        match self {
            Self::File(error) => error.is_corrupt(),
            Self::Write(error) => is_corrupt(error),
            Self::Json(_) => false,
        }
    }
}
