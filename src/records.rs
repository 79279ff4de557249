//! Where runs are recorded, by the configuration.

use std::path::PathBuf;

use synod_aggregator::records::Settings;

use crate::config::Config;
use crate::exit::{ExitCode, Failure};
use crate::state;

const FILE: &str = "records.sqlite";

/// How runs are recorded; none where they are not.
///
/// # Errors
/// There is no place for the file.
pub(crate) fn settings(config: &Config) -> Result<Option<Settings>, Failure> {
    let records = &config.records;
    if !records.enabled {
        return Ok(None);
    }
    let settings =
        Settings { path: path(config)?, max_age: records.max_age, max_bytes: records.max_bytes, texts: records.texts };
    Ok(Some(settings))
}

/// The file: the configuration's, else one in `$SYNOD_HOME`, else one in the XDG state folder.
///
/// # Errors
/// There is no home.
pub(crate) fn path(config: &Config) -> Result<PathBuf, Failure> {
    if let Some(path) = &config.records.path {
        return Ok(path.clone());
    }
    state::file(FILE).map_err(|error| {
        Failure::new(ExitCode::Configuration, format!("there is no place for records: {error}"))
            .hint("name a file in [records] path, or set [records] enabled = false")
    })
}
