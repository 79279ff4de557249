//! One pull of a model at a time, also across processes.

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::error::StoreError;
use super::progress::{CancelToken, PullEvent, PullProgress};

const POLL: Duration = Duration::from_millis(100);

/// Held while a model is pulled. The system drops it with the process, so a crash leaves nothing to clean up; the
/// empty file stays, because removing it would let two processes hold "the" lock on two different files.
pub(super) struct ModelLock(#[expect(dead_code, reason = "held for its lock")] File);

impl ModelLock {
    /// Waits for the lock, and says so once if it is taken.
    pub(super) fn acquire(
        home: &Path,
        model: &str,
        progress: &dyn PullProgress,
        cancel: &CancelToken,
    ) -> Result<Self, StoreError> {
        let folder = home.join("locks");
        fs::create_dir_all(&folder).map_err(StoreError::io("create", &folder))?;
        let path = folder.join(format!("{model}.lock"));
        let open = File::options().create(true).truncate(false).write(true).open(&path);
        let file = open.map_err(StoreError::io("open", &path))?;
        let mut said = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::WouldBlock) if cancel.is_cancelled() => {
                    return Err(StoreError::Cancelled { name: model.to_owned() });
                }
                Err(TryLockError::WouldBlock) => {
                    if !said {
                        progress.on_event(PullEvent::Waiting { model });
                        said = true;
                    }
                    thread::park_timeout(POLL);
                }
                Err(TryLockError::Error(source)) => return Err(StoreError::Io { doing: "lock", path, source }),
            }
        }
    }
}
