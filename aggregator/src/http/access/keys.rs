//! The keys in use, which are the file's of this moment.

use std::{
    fs,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use subtle::ConstantTimeEq;
use tokio::time::Instant;

use super::{
    Key,
    file::{KeyFile, KeyFileError, digest},
};

/// How often the file is looked at, at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Keys from a file that may change; revoking one needs no restart.
#[derive(Debug)]
pub struct Keys {
    file: KeyFile,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    looked: Instant,
    stamp: Option<Stamp>,
    keys: Current,
}

/// What changes when the file does.
type Stamp = (SystemTime, u64);

/// The keys of a moment.
#[derive(Debug, Clone)]
pub(in crate::http) struct Current {
    keys: Arc<Vec<Arc<Key>>>,
    /// Whether nobody is let in without one. Once it is so it stays: revoking the last key opens nothing.
    pub(in crate::http) required: bool,
}

impl Keys {
    /// Those of `file`. With `required` nobody gets in without a key even where there are none yet; else as soon as there is
    /// one.
    ///
    /// # Errors
    /// The file cannot be read, or is no file of keys.
    pub fn open(file: KeyFile, required: bool) -> Result<Self, KeyFileError> {
        let stamp = stamp(&file);
        let keys = Current { keys: Arc::default(), required }.replaced(file.read()?);
        Ok(Self { file, state: Mutex::new(State { looked: Instant::now(), stamp, keys }) })
    }

    /// Whether nobody is let in without a key.
    pub fn are_required(&self) -> bool {
        self.current().required
    }

    pub(in crate::http) fn current(&self) -> Current {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() >= LOOK_EVERY {
            state.looked = Instant::now();
            let stamp = stamp(&self.file);
            if stamp != state.stamp {
                state.stamp = stamp;
                match self.file.read() {
                    Ok(records) => state.keys = state.keys.replaced(records),
                    Err(error) => {
                        tracing::warn!(%error, "the keys changed and cannot be used; going on with those before")
                    }
                }
            }
        }
        state.keys.clone()
    }
}

fn stamp(file: &KeyFile) -> Option<Stamp> {
    let metadata = fs::metadata(file.path()).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

impl Current {
    /// These records; keys that are as they were keep what they have used up.
    fn replaced(&self, records: Vec<super::KeyRecord>) -> Self {
        let known = |record: &super::KeyRecord| self.keys.iter().find(|key| key.record == *record).cloned();
        let keys: Vec<Arc<Key>> =
            records.into_iter().map(|record| known(&record).unwrap_or_else(|| Arc::new(Key::new(record)))).collect();
        let required = self.required || !keys.is_empty();
        Self { keys: Arc::new(keys), required }
    }

    /// The key, looked for in a time that doesn't depend on which it is or how much of it is right.
    pub(in crate::http) fn find(&self, given: &str) -> Option<Arc<Key>> {
        let given = digest(given);
        let mut found = None;
        for key in self.keys.iter() {
            if bool::from(key.record.sha256.as_bytes().ct_eq(given.as_bytes())) {
                found = Some(Arc::clone(key));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::{super::KeyRecord, *};

    #[tokio::test(start_paused = true)]
    async fn keys_come_and_go_while_it_runs_and_the_door_never_opens_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::at(folder.path().join("keys.json"));
        let keys = Keys::open(file.clone(), false).unwrap();
        assert!(!keys.are_required());
        let (key, record) = KeyRecord::generate("a");
        file.add(record.clone()).unwrap();
        tokio::time::advance(LOOK_EVERY).await;
        assert!(keys.are_required());
        let found = keys.current().find(&key).unwrap();
        assert_eq!(found.record, record);
        assert!(keys.current().find("sk-synod-other").is_none());
        file.add(KeyRecord::generate("b").1).unwrap();
        tokio::time::advance(LOOK_EVERY).await;
        assert!(Arc::ptr_eq(&keys.current().find(&key).unwrap(), &found), "what it used up stays used up");
        fs::remove_file(file.path()).unwrap();
        tokio::time::advance(LOOK_EVERY).await;
        assert!(keys.are_required() && keys.current().find(&key).is_none());
    }
}
