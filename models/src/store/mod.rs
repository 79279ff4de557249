//! The model store: which models there are, where their files lie, and how to fetch and check them.
//!
//! ```text
//! <home>/models/NAME.gguf        a model of one file      <home>/models/NAME/FILE   a model of several
//! <home>/models/NAME.verified    what was verified        <home>/partial/NAME/      a pull under way
//! <home>/locks/NAME.lock         held during a pull
//! ```
//!
//! A file appears under `models/` only by a rename of a file whose sum was right, so what is there is usable; a file
//! that changes afterwards is noticed by its size or modification time and hashed again before use.

mod digest;
mod error;
#[cfg_attr(not(feature = "hf"), path = "hub_off.rs")]
mod hub;
mod join;
mod local;
mod locate;
mod lock;
mod manifest;
mod nearest;
mod pip;
mod progress;
mod pull;
mod shape;
mod stamp;
#[cfg(test)]
mod tests;
mod wheel;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;

pub use digest::{NotASha256, Sha256Sum, sha256_file};
pub use error::{Attempt, SourceError, StoreError};
pub use locate::{ModelFiles, ModelStatus, Presence};
pub use manifest::{Kind, Manifest, ManifestFile, Source};
pub use nearest::nearest;
pub use progress::{CancelToken, PullEvent, PullProgress, Silent};
pub use shape::{FileShape, HubShape, ManifestShape, Mistake, SourceShape, WheelShape};

use stamp::Stamp;

/// The models of one machine. Cheap to open; all work blocks, so async callers use `spawn_blocking`.
#[derive(Debug, Clone)]
pub struct Store {
    home: PathBuf,
    manifests: BTreeMap<String, Manifest>,
    pip: Vec<Vec<String>>,
}

impl Store {
    /// The user's store: `$SYNOD_HOME`, else `synod` in the XDG cache folder.
    ///
    /// # Errors
    /// There is no home directory to find the cache folder in.
    pub fn open() -> Result<Self, StoreError> {
        match std::env::var_os("SYNOD_HOME").filter(|home| !home.is_empty()) {
            Some(home) => Self::at(home),
            None => Self::at(etcetera::choose_base_strategy().map_err(StoreError::NoHome)?.cache_dir().join("synod")),
        }
    }

    /// A store in this folder, which need not exist yet.
    ///
    /// # Errors
    /// Only if the built-in manifests were wrong.
    pub fn at(home: impl Into<PathBuf>) -> Result<Self, StoreError> {
        Ok(Self { home: home.into(), manifests: manifest::built_in()?, pip: pip::default_commands() })
    }

    /// Adds a user's models; one of the same name as a built-in model takes its place.
    #[must_use]
    pub fn with_manifests(mut self, manifests: Vec<Manifest>) -> Self {
        self.manifests.extend(manifests.into_iter().map(|manifest| (manifest.name.clone(), manifest)));
        self
    }

    /// Uses this command (program and first arguments) as pip instead of looking for one.
    #[must_use]
    pub fn with_pip(mut self, command: Vec<String>) -> Self {
        self.pip = vec![command];
        self
    }

    /// The folder of this store.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Every model's manifest, by name.
    pub fn manifests(&self) -> impl Iterator<Item = &Manifest> {
        self.manifests.values()
    }

    /// The manifest of a model.
    ///
    /// # Errors
    /// There is none; the error lists the names there are.
    pub fn manifest(&self, name: &str) -> Result<&Manifest, StoreError> {
        self.manifests.get(name).ok_or_else(|| {
            let known = self.manifests.keys().cloned().collect();
            StoreError::UnknownModel { name: name.to_owned(), known }
        })
    }

    /// Fetches what is missing of a model and checks it; does nothing if all is there and unchanged. Resumes an
    /// earlier pull, and waits for another process that pulls the same model.
    ///
    /// # Errors
    /// No source worked, no room, interrupted; what is already there is kept for the next pull, except what was
    /// proven wrong.
    pub fn pull(
        &self,
        name: &str,
        progress: &dyn PullProgress,
        cancel: &CancelToken,
    ) -> Result<ModelFiles, StoreError> {
        let manifest = self.manifest(name)?;
        fs::create_dir_all(&self.home).map_err(StoreError::io("create", &self.home))?;
        pull::run(self, manifest, progress, cancel)
    }

    fn models_folder(&self) -> PathBuf {
        self.home.join("models")
    }

    /// Where a file of a model lies, or would.
    #[must_use]
    pub fn file_path(&self, file: &ManifestFile) -> PathBuf {
        self.models_folder().join(&file.path)
    }

    fn stamp_path(&self, model: &str) -> PathBuf {
        self.models_folder().join(format!("{model}.verified"))
    }

    fn partial_folder(&self, model: &str) -> PathBuf {
        self.home.join("partial").join(model)
    }

    /// Renames a checked file, already synced, into place and stamps it.
    fn install(&self, manifest: &Manifest, file: &ManifestFile, part: &Path) -> Result<(), StoreError> {
        let path = self.file_path(file);
        let folder = path.parent().unwrap_or(&self.home);
        fs::create_dir_all(folder).map_err(StoreError::io("create", folder))?;
        fs::rename(part, &path).map_err(StoreError::io("put in place", &path))?;
        // The rename itself must survive a power cut, too.
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(StoreError::io("sync", folder))?;
        let metadata = fs::metadata(&path).map_err(StoreError::io("read", &path))?;
        let stamp_path = self.stamp_path(&manifest.name);
        let mut stamp = Stamp::read(&stamp_path);
        let stamped = stamp.add(&file.path, &metadata, file.sha256).and_then(|()| stamp.write(&stamp_path));
        stamped.map_err(StoreError::io("write", &stamp_path))
    }
}
