//! Source `file`: a file of this machine, copied into the store.

use std::fs::File;
use std::path::Path;

use super::error::SourceError;
use super::join::Join;
use super::progress::Meter;
use super::pull::FetchError;

pub(super) fn fetch(
    path: &Path,
    expected_bytes: u64,
    join: &mut Join<'_>,
    meter: &Meter<'_>,
) -> Result<(), FetchError> {
    let file = File::open(path).map_err(SourceError::File)?;
    let actual_bytes = file.metadata().map_err(SourceError::File)?.len();
    if actual_bytes != expected_bytes {
        return Err(SourceError::WrongSize { actual_bytes, expected_bytes }.into());
    }
    meter.step(&path.display().to_string());
    join.append(file, SourceError::File, |bytes| meter.at(bytes))
}
