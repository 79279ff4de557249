//! The files of one catalogue:
//!
//! ```text
//! NAME/catalogue.json      the head: the source, and the versions, newest first; replaced by rename
//! NAME/<version>.json      the APIs of a version; never changed
//! NAME/vectors             embeddings by the hash of their text, for all versions
//! NAME/lock                held while a version is published
//! ```

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::LibraryError;
use crate::apis::{Api, catalogue::Catalogue, sources::Source};

const HEAD: &str = "catalogue.json";
const MAX_HEAD_BYTES: u64 = 1 << 20;
/// Some 400,000 cards.
const MAX_VERSION_BYTES: u64 = 512 << 20;
/// Older versions are removed.
const KEPT_VERSIONS: usize = 3;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    pub(super) source: Source,
    /// Newest first; one at least.
    pub(super) versions: Vec<String>,
}

/// One catalogue's folder.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    path: PathBuf,
}

/// Names of the folders that have a head.
pub(super) fn names(dir: &Path) -> Result<Vec<String>, LibraryError> {
    let failed = |source| LibraryError::Read { path: dir.to_owned(), source };
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if let (true, Ok(name)) = (entry.path().join(HEAD).is_file(), entry.file_name().into_string()) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

impl Folder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(super) fn exists(&self) -> bool {
        self.path.join(HEAD).exists()
    }

    /// Where the embeddings are.
    pub(super) fn vectors(&self) -> PathBuf {
        self.path.join("vectors")
    }

    /// The head file as it is; none if there is no such catalogue.
    pub(super) fn head_bytes(&self) -> Result<Option<Vec<u8>>, LibraryError> {
        read(&self.path.join(HEAD), MAX_HEAD_BYTES)
    }

    pub(super) fn head(&self) -> Result<Head, LibraryError> {
        let path = self.path.join(HEAD);
        let bytes = read(&path, MAX_HEAD_BYTES)?
            .ok_or_else(|| LibraryError::Read { path: path.clone(), source: ErrorKind::NotFound.into() })?;
        let head: Head = serde_json::from_slice(&bytes)
            .map_err(|error| LibraryError::Damaged { path: path.clone(), reason: error.to_string() })?;
        // A version names a file: nothing else may be reached through it.
        if head.versions.is_empty() || head.versions.iter().any(|version| !is_version(version)) {
            return Err(LibraryError::Damaged { path, reason: "its versions are not versions".to_owned() });
        }
        Ok(head)
    }

    /// The newest version that can be read.
    pub(super) fn load(&self, name: &str, head: &Head) -> Result<Catalogue, LibraryError> {
        let mut first_error = None;
        for version in &head.versions {
            match self.load_version(name, version) {
                Ok(catalogue) => return Ok(catalogue),
                Err(error) => {
                    tracing::warn!(catalogue = name, version, error = %error, "a version cannot be read: trying the one before");
                    first_error.get_or_insert(error);
                }
            }
        }
        Err(first_error.unwrap_or_else(|| LibraryError::Damaged {
            path: self.path.join(HEAD),
            reason: "it names no version".to_owned(),
        }))
    }

    fn load_version(&self, name: &str, version: &str) -> Result<Catalogue, LibraryError> {
        let path = self.path.join(format!("{version}.json"));
        let damaged = |reason: String| LibraryError::Damaged { path: path.clone(), reason };
        let bytes = read(&path, MAX_VERSION_BYTES)?.ok_or_else(|| damaged("it is not there".to_owned()))?;
        let apis: Vec<Api> = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        let catalogue = Catalogue::new(name, apis);
        if catalogue.version() != version {
            return Err(damaged("its content is not what its name says".to_owned()));
        }
        Ok(catalogue)
    }

    /// Makes a version the newest. `older` are those before it.
    pub(super) fn publish(
        &self,
        catalogue: &Catalogue,
        source: Source,
        older: Vec<String>,
    ) -> Result<(), LibraryError> {
        let version = catalogue.version().to_owned();
        let apis: Vec<&Api> = catalogue.apis().iter().map(AsRef::as_ref).collect();
        let content = serde_json::to_vec(&apis).map_err(|error| LibraryError::Task(error.to_string()))?;
        write(&self.path.join(format!("{version}.json")), &content)?;
        let mut versions = vec![version.clone()];
        versions.extend(older.into_iter().filter(|older| *older != version));
        let dropped = versions.split_off(versions.len().min(KEPT_VERSIONS));
        let head = serde_json::to_vec_pretty(&Head { source, versions })
            .map_err(|error| LibraryError::Task(error.to_string()))?;
        write(&self.path.join(HEAD), &head)?;
        for version in dropped {
            // What cannot be removed only takes up room.
            let _ = fs::remove_file(self.path.join(format!("{version}.json")));
        }
        Ok(())
    }

    /// Until the file is dropped, nobody else publishes here.
    pub(super) fn lock(&self) -> Result<File, LibraryError> {
        let path = self.path.join("lock");
        let failed = |source| LibraryError::Write { path: path.clone(), source };
        fs::create_dir_all(&self.path).map_err(failed)?;
        let file = File::create(&path).map_err(failed)?;
        file.lock().map_err(failed)?;
        Ok(file)
    }

    /// The head goes first: without it there is no catalogue, whatever else is left.
    pub(super) fn remove(&self) -> Result<(), LibraryError> {
        let failed = |source| LibraryError::Write { path: self.path.clone(), source };
        fs::remove_file(self.path.join(HEAD)).map_err(failed)?;
        fs::remove_dir_all(&self.path).map_err(failed)
    }
}

fn is_version(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The file's content; none if there is no file.
fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, LibraryError> {
    let failed = |source| LibraryError::Read { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(failed(io::Error::new(ErrorKind::FileTooLarge, format!("it has more than {limit} bytes"))));
    }
    Ok(Some(bytes))
}

/// Replaces a file as a whole: who reads meanwhile sees the old content or the new.
pub(crate) fn write(path: &Path, content: &[u8]) -> Result<(), LibraryError> {
    let failed = |source| LibraryError::Write { path: path.to_owned(), source };
    let partial = path.with_extension(format!("partial-{}", std::process::id()));
    let mut file = File::create(&partial).map_err(failed)?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&partial, path).map_err(failed)
}
