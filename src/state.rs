//! Where Synod keeps what it remembers from one call to the next.

use std::env;
use std::path::PathBuf;

use etcetera::{BaseStrategy, HomeDirError};

/// A file of that name in `$SYNOD_HOME`, or else in the XDG state folder. Neither it nor its folder need exist.
///
/// # Errors
/// There is no home.
pub(crate) fn file(name: &str) -> Result<PathBuf, HomeDirError> {
    if let Some(home) = env::var_os("SYNOD_HOME").filter(|home| !home.is_empty()) {
        return Ok(PathBuf::from(home).join(name));
    }
    let dirs = etcetera::choose_base_strategy()?;
    Ok(dirs.state_dir().unwrap_or_else(|| dirs.data_dir()).join("synod").join(name))
}
