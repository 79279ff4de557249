//! The file of keys. It holds no key, only SHA-256 digests: keys are 256 random bits, so that a fast digest is enough.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

/// What every key begins with.
const PREFIX: &str = "sk-synod-";
const MAX_FILE_BYTES: u64 = 4 << 20;

/// Why the file of keys could not be read or changed.
#[derive(Debug, Error)]
pub enum KeyFileError {
    /// It cannot be read.
    #[error("reading the keys in {path}")]
    Read {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It cannot be written.
    #[error("writing the keys in {path}")]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It holds something else.
    #[error("{path} is no file of keys")]
    Wrong {
        /// Where.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// There is no such key.
    #[error("no key \"{id}\" in {path}: `synod keys list` shows which there are")]
    NoKey {
        /// What was looked for.
        id: String,
        /// Where.
        path: PathBuf,
    },
}

/// Who may ask, and how much. Limits that are absent are none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRecord {
    /// What the key goes by; the beginning of its digest.
    pub id: String,
    /// The digest of the key, in hexadecimal.
    pub sha256: String,
    /// Whose runs are its to see.
    pub tenant: String,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// The models and topologies that it may ask; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// Requests a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpm: Option<u32>,
    /// Tokens a minute, of prompts and answers together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tpm: Option<u32>,
    /// Requests at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// Tokens of one answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
}

impl KeyRecord {
    /// A new key for a tenant, without limits, and its record. Whoever gets the key must keep it: it is nowhere else.
    pub fn generate(tenant: &str) -> (String, Self) {
        let key = format!("{PREFIX}{}", hex(&rand::random::<[u8; 32]>()));
        let sha256 = digest(&key);
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let record = Self {
            id: sha256.chars().take(12).collect(),
            sha256,
            tenant: tenant.to_owned(),
            created,
            models: Vec::new(),
            rpm: None,
            tpm: None,
            concurrency: None,
            max_tokens: None,
        };
        (key, record)
    }
}

/// What is kept of a key.
pub(super) fn digest(key: &str) -> String {
    hex(&Sha256::digest(key.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shape {
    keys: Vec<KeyRecord>,
}

/// Where keys are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFile(PathBuf);

impl KeyFile {
    /// The file at `path`, which need not exist.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The keys in it; none where there is no file.
    ///
    /// # Errors
    /// It cannot be read, or is no file of keys.
    pub fn read(&self) -> Result<Vec<KeyRecord>, KeyFileError> {
        let path = || self.0.clone();
        let size = match fs::metadata(&self.0) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(KeyFileError::Read { path: path(), source }),
        };
        if size > MAX_FILE_BYTES {
            let source = io::Error::other(format!("it has {size} bytes, and {MAX_FILE_BYTES} is the limit"));
            return Err(KeyFileError::Read { path: path(), source });
        }
        let text = fs::read(&self.0).map_err(|source| KeyFileError::Read { path: path(), source })?;
        let shape: Shape =
            serde_json::from_slice(&text).map_err(|source| KeyFileError::Wrong { path: path(), source })?;
        Ok(shape.keys)
    }

    /// Adds one.
    ///
    /// # Errors
    /// As reading; or it cannot be written.
    pub fn add(&self, record: KeyRecord) -> Result<(), KeyFileError> {
        let mut keys = self.read()?;
        keys.push(record);
        self.write(keys)
    }

    /// Takes one out, by its id.
    ///
    /// # Errors
    /// As adding; or there is none.
    pub fn revoke(&self, id: &str) -> Result<(), KeyFileError> {
        let keys = self.read()?;
        let left: Vec<KeyRecord> = keys.iter().filter(|key| key.id != id).cloned().collect();
        if left.len() == keys.len() {
            return Err(KeyFileError::NoKey { id: id.to_owned(), path: self.0.clone() });
        }
        self.write(left)
    }

    /// In one step, so that who reads it sees it whole; for its owner alone.
    fn write(&self, keys: Vec<KeyRecord>) -> Result<(), KeyFileError> {
        let failed = |source| KeyFileError::Write { path: self.0.clone(), source };
        if let Some(folder) = self.0.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let text = serde_json::to_vec_pretty(&Shape { keys }).map_err(|error| failed(error.into()))?;
        let beside = self.0.with_extension(format!("{}.new", std::process::id()));
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let written = options.open(&beside).and_then(|mut file| file.write_all(&text).and_then(|()| file.sync_all()));
        written.and_then(|()| fs::rename(&beside, &self.0)).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_added_found_and_revoked_and_never_written_down() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::at(folder.path().join("deep/keys.json"));
        assert_eq!(file.read().unwrap(), []);
        let (key, record) = KeyRecord::generate("team");
        assert!(key.starts_with("sk-synod-") && key.len() == 9 + 64, "{key}");
        file.add(record.clone()).unwrap();
        assert_eq!(file.read().unwrap(), std::slice::from_ref(&record));
        assert_eq!(record.sha256, digest(&key));
        assert!(!fs::read_to_string(file.path()).unwrap().contains(&key[9..]));
        assert!(matches!(file.revoke("other"), Err(KeyFileError::NoKey { .. })));
        file.revoke(&record.id).unwrap();
        assert_eq!(file.read().unwrap(), []);
    }

    #[test]
    fn a_file_of_something_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::at(folder.path().join("keys.json"));
        for wrong in ["", "{}", r#"{"keys": [{"id": "a"}]}"#, r#"{"keys": [], "more": 1}"#] {
            fs::write(file.path(), wrong).unwrap();
            assert!(matches!(file.read(), Err(KeyFileError::Wrong { .. })), "{wrong}");
        }
    }
}
