//! The catalogues of a node, in a folder that several processes share.
//!
//! `synod apis add` publishes a version by renaming a file into place; a node that runs looks at that file at every call, so
//! that the next call after a change sees it. What cannot be read never replaces what could.

mod disk;
mod error;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;

use super::{
    catalogue::{Catalogue, Difference},
    retrieve::{EmbedProgress, Indexed, LazyEmbedder},
    sources::{self, Reading, Skipped, Source},
};

pub(crate) use disk::write;
use disk::{Folder, Head};
pub use error::LibraryError;

/// Catalogues of one library.
const MAX_CATALOGUES: usize = 256;
/// Characters of a catalogue's name.
const MAX_NAME: usize = 64;

/// All catalogues of a node. Its functions block for as long as files take; the asynchronous ones do so on other threads.
#[derive(Debug)]
pub struct Library {
    dir: PathBuf,
    embedder: Arc<LazyEmbedder>,
    loaded: Mutex<HashMap<String, Loaded>>,
    /// Held by the thread that loads; one at a time is enough.
    loading: Mutex<()>,
}

#[derive(Debug, Clone)]
struct Loaded {
    /// The head file when it was loaded: another content is another version.
    head: Vec<u8>,
    indexed: Arc<Indexed>,
}

/// What a command did to a catalogue.
#[derive(Debug, Clone, Serialize)]
pub struct Change {
    /// The catalogue.
    pub name: String,
    /// Its version now.
    pub version: String,
    /// Whether that is a new one.
    pub published: bool,
    /// APIs in it.
    pub apis: usize,
    /// Against the version before.
    #[serde(flatten)]
    pub difference: Difference,
    /// Records that were left out.
    pub skipped: Vec<Skipped>,
}

/// A catalogue as a list shows it.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// What the node calls it.
    pub name: String,
    /// Where it is from.
    pub source: Source,
    /// Its version.
    pub version: String,
}

impl Library {
    /// The library in this folder, which is made when something is added. `embedder` is loaded when it is needed.
    #[must_use]
    pub fn open(dir: impl Into<PathBuf>, embedder: LazyEmbedder) -> Self {
        Self { dir: dir.into(), embedder: Arc::new(embedder), loaded: Mutex::default(), loading: Mutex::default() }
    }

    /// Names of all catalogues, sorted.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn names(&self) -> Result<Vec<String>, LibraryError> {
        disk::names(&self.dir)
    }

    /// All catalogues, sorted by name.
    ///
    /// # Errors
    /// When the folder cannot be read; a catalogue whose head is damaged is told to the log and left out.
    pub fn entries(&self) -> Result<Vec<Entry>, LibraryError> {
        let entry = |name: String| match self.folder(&name).and_then(|folder| folder.head()) {
            Ok(Head { source, versions }) => {
                Some(Entry { version: versions.first().cloned().unwrap_or_default(), name, source })
            }
            Err(error) => {
                tracing::warn!(catalogue = name, error = %error, "left out of the list");
                None
            }
        };
        Ok(self.names()?.into_iter().filter_map(entry).collect())
    }

    /// The newest version of a catalogue that can be read, ready to be searched. Costs a look at a small file while nothing
    /// has changed.
    ///
    /// # Errors
    /// When there is no such catalogue, or no version of it can be read.
    pub fn get(&self, name: &str) -> Result<Arc<Indexed>, LibraryError> {
        let folder = self.folder(name)?;
        let Some(head) = folder.head_bytes()? else {
            self.loaded().remove(name);
            return Err(self.unknown(name));
        };
        let known = self.loaded().get(name).cloned();
        let _loading = match known {
            Some(loaded) if loaded.head == head => return Ok(loaded.indexed),
            Some(loaded) => match self.loading.try_lock() {
                Ok(guard) => guard,
                // Somebody loads the change already: until then the last version answers.
                Err(_) => return Ok(loaded.indexed),
            },
            None => self.loading.lock().unwrap_or_else(PoisonError::into_inner),
        };
        let known = self.loaded().get(name).cloned();
        let indexed = match (self.load(name, &folder), known) {
            (Ok(indexed), _) => indexed,
            (Err(error), Some(loaded)) => {
                tracing::warn!(catalogue = name, error = %error, "keeping the version in memory");
                loaded.indexed
            }
            (Err(error), None) => return Err(error),
        };
        self.loaded().insert(name.to_owned(), Loaded { head, indexed: Arc::clone(&indexed) });
        Ok(indexed)
    }

    /// Reads a source and publishes it under `name`, in place of what is there under that name.
    ///
    /// # Errors
    /// When the name cannot be one, the source cannot be read or has no API, or the folder cannot be written.
    pub async fn add(
        self: &Arc<Self>,
        name: &str,
        source: Source,
        progress: EmbedProgress,
    ) -> Result<Change, LibraryError> {
        self.folder(name)?;
        let reading = sources::read(&source).await.map_err(LibraryError::Source)?;
        if reading.apis.is_empty() {
            return Err(LibraryError::Empty { location: source.location, skipped: reading.skipped });
        }
        let (library, name) = (Arc::clone(self), name.to_owned());
        blocking(move || library.publish(&name, source, reading, &progress)).await
    }

    /// Reads a catalogue's source again, and publishes what it says if that is something else.
    ///
    /// # Errors
    /// When there is no such catalogue, and those of [`add`](Self::add); the last version stays then.
    pub async fn refresh(self: &Arc<Self>, name: &str, progress: EmbedProgress) -> Result<Change, LibraryError> {
        let folder = self.folder(name)?;
        if folder.head_bytes()?.is_none() {
            return Err(self.unknown(name));
        }
        self.add(name, folder.head()?.source, progress).await
    }

    /// Takes a catalogue away, all versions of it.
    ///
    /// # Errors
    /// When there is no such catalogue, or its files cannot be removed.
    pub fn remove(&self, name: &str) -> Result<(), LibraryError> {
        let folder = self.folder(name)?;
        if !folder.exists() {
            return Err(self.unknown(name));
        }
        self.loaded().remove(name);
        folder.remove()
    }

    fn publish(
        &self,
        name: &str,
        source: Source,
        Reading { apis, skipped }: Reading,
        progress: &EmbedProgress,
    ) -> Result<Change, LibraryError> {
        let folder = self.folder(name)?;
        if !folder.exists() && self.names()?.len() >= MAX_CATALOGUES {
            return Err(LibraryError::TooMany { limit: MAX_CATALOGUES });
        }
        // One writer at a time, whichever process it is in.
        let _lock = folder.lock()?;
        let before =
            folder.head().ok().and_then(|head| folder.load(name, &head).ok().map(|catalogue| (head, catalogue)));
        let catalogue = Catalogue::new(name, apis);
        let change = Change {
            name: name.to_owned(),
            version: catalogue.version().to_owned(),
            published: before.as_ref().is_none_or(|(head, before)| {
                before.version() != catalogue.version() || head.source != source || head.versions[0] != before.version()
            }),
            apis: catalogue.apis().len(),
            difference: Difference::between(before.as_ref().map(|(_, before)| before), &catalogue),
            skipped,
        };
        // Embedded first, so that who sees the new version can search it at once.
        let indexed = Indexed::new(catalogue, Arc::clone(&self.embedder), folder.vectors());
        if let Err(error) = indexed.embed(progress) {
            tracing::warn!(catalogue = name, error = %error, "not embedded: searched by words alone");
        }
        if change.published {
            folder.publish(indexed.catalogue(), source, before.map_or_else(Vec::new, |(head, _)| head.versions))?;
        }
        Ok(change)
    }

    fn load(&self, name: &str, folder: &Folder) -> Result<Arc<Indexed>, LibraryError> {
        let catalogue = folder.load(name, &folder.head()?)?;
        Ok(Arc::new(Indexed::new(catalogue, Arc::clone(&self.embedder), folder.vectors())))
    }

    fn loaded(&self) -> MutexGuard<'_, HashMap<String, Loaded>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A name becomes a folder: letters, digits, and `.`, `_`, `-` after the first.
    fn folder(&self, name: &str) -> Result<Folder, LibraryError> {
        let fits = |(index, byte): (usize, u8)| byte.is_ascii_alphanumeric() || (index > 0 && b"._-".contains(&byte));
        if name.is_empty() || name.len() > MAX_NAME || !name.bytes().enumerate().all(fits) {
            let name = name.chars().take(MAX_NAME).collect();
            return Err(LibraryError::Name { name, limit: MAX_NAME });
        }
        Ok(Folder::new(self.dir.join(name)))
    }

    fn unknown(&self, name: &str) -> LibraryError {
        LibraryError::Unknown { name: name.to_owned(), known: self.names().unwrap_or_default() }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LibraryError> + Send + 'static,
) -> Result<T, LibraryError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(LibraryError::Task(error.to_string())))
}

#[cfg(test)]
mod tests;
