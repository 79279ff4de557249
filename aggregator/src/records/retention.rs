//! Old runs go, a few at a time: no write waits long for a tidy file.

use std::time::{Duration, SystemTime};

use rusqlite::{Connection, params};

use super::{Settings, ended::ms, unix_ms};

/// Between two looks.
pub(super) const PAUSE: Duration = Duration::from_secs(1);
/// The most runs that one look deletes.
const RUNS: usize = 64;
/// The most pages that it gives back to the disk.
const PAGES: usize = 1024;

/// Deletes runs that are too old, or the oldest of too many.
pub(super) fn tidy(connection: &mut Connection, settings: &Settings) -> Result<(), rusqlite::Error> {
    let oldest = unix_ms(SystemTime::now()).saturating_sub(ms(settings.max_age));
    let mut deleted = delete_oldest(connection, oldest, RUNS)?;
    while bytes(connection)? > settings.max_bytes && deleted < RUNS {
        match delete_oldest(connection, u64::from(u32::MAX) << 16, 1)? {
            0 => break,
            more => deleted += more,
        }
    }
    connection.pragma(None, "incremental_vacuum", PAGES, |_| Ok(()))
}

/// Bytes in use; pages that wait to be given back don't count.
pub(super) fn bytes(connection: &Connection) -> Result<u64, rusqlite::Error> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, u64>(0));
    Ok(pragma("page_count")?.saturating_sub(pragma("freelist_count")?) * pragma("page_size")?)
}

/// Deletes at most so many of the oldest runs that began before; how many there were.
fn delete_oldest(connection: &mut Connection, before_ms: u64, most: usize) -> Result<usize, rusqlite::Error> {
    let ids: Vec<String> = connection
        .prepare_cached("SELECT run_id FROM runs WHERE began_ms < ? ORDER BY began_ms LIMIT ?")?
        .query_map(params![before_ms, most], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let change = connection.transaction()?;
    for id in &ids {
        change.prepare_cached("DELETE FROM calls WHERE run_id = ?")?.execute([id])?;
        change.prepare_cached("DELETE FROM runs WHERE run_id = ?")?.execute([id])?;
    }
    change.commit()?;
    Ok(ids.len())
}
