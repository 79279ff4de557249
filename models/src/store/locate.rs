//! Finding a model that is in the store, and checking that its files are still what was verified.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Store;
use super::digest::sha256_file;
use super::error::StoreError;
use super::manifest::{Manifest, ManifestFile};
use super::progress::{CancelToken, PullEvent, PullProgress};
use super::pull::folder_bytes;
use super::stamp::Stamp;

/// The files of a model that are in the store, present and unchanged.
#[derive(Debug, Clone)]
pub struct ModelFiles {
    manifest: Manifest,
    weights: PathBuf,
    folder: PathBuf,
}

impl ModelFiles {
    /// What the files are.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The model's first file: the GGUF, or the safetensors of an embedding model.
    #[must_use]
    pub fn weights(&self) -> &Path {
        &self.weights
    }

    /// The file of this name, for instance `tokenizer.json`.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<PathBuf> {
        let file = self.manifest.files.iter().find(|file| file.file_name() == name)?;
        Some(self.folder.join(&file.path))
    }
}

/// A model and how much of it is here.
#[derive(Debug, Clone)]
pub struct ModelStatus {
    /// What it is.
    pub manifest: Manifest,
    /// How much of it is here.
    pub presence: Presence,
}

/// How much of a model is in the store, as far as can be told without hashing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// All of it, as it was verified.
    Present,
    /// All of it, but not as it was verified, or never verified here: hashed before the next use.
    Unverified,
    /// A pull was begun and not finished.
    Partial {
        /// What there is of it.
        bytes: u64,
    },
    /// Nothing.
    Missing,
}

impl Store {
    /// Every model and how much of it is here, by name. Hashes nothing.
    #[must_use]
    pub fn list(&self) -> Vec<ModelStatus> {
        let status =
            |manifest: &Manifest| ModelStatus { presence: self.presence(manifest), manifest: manifest.clone() };
        self.manifests().map(status).collect()
    }

    /// How much of a model is here. Hashes nothing.
    #[must_use]
    pub fn presence(&self, manifest: &Manifest) -> Presence {
        let stamp = Stamp::read(&self.stamp_path(&manifest.name));
        let mut presence = Presence::Present;
        for file in &manifest.files {
            match fs::metadata(self.file_path(file)) {
                Ok(metadata) if stamp.covers(&file.path, &metadata, file.sha256) => {}
                Ok(_) => presence = Presence::Unverified,
                Err(_) => {
                    return match folder_bytes(&self.partial_folder(&manifest.name)) {
                        0 => Presence::Missing,
                        bytes => Presence::Partial { bytes },
                    };
                }
            }
        }
        presence
    }

    /// The files of a model that is here and unchanged. Hashes a file only if its size or modification time differ
    /// from when it was last verified.
    ///
    /// # Errors
    /// Unknown model, not all of it here, or a file that is not what the manifest says.
    pub fn locate(&self, name: &str) -> Result<ModelFiles, StoreError> {
        self.locate_manifest(self.manifest(name)?)
    }

    pub(super) fn locate_manifest(&self, manifest: &Manifest) -> Result<ModelFiles, StoreError> {
        for file in &manifest.files {
            self.locate_file(manifest, file)?;
        }
        Ok(self.files(manifest))
    }

    /// Checks one file against the stamp, or else its sum.
    pub(super) fn locate_file(&self, manifest: &Manifest, file: &ManifestFile) -> Result<(), StoreError> {
        let metadata = self.metadata(manifest, file)?;
        if Stamp::read(&self.stamp_path(&manifest.name)).covers(&file.path, &metadata, file.sha256) {
            return Ok(());
        }
        self.check_sum(manifest, file, &metadata, |_| Ok(()))
    }

    /// Hashes every file of a model, whatever its stamp says.
    ///
    /// # Errors
    /// Unknown model, not all of it here, interrupted, or a file that is not what the manifest says.
    pub fn verify(
        &self,
        name: &str,
        progress: &dyn PullProgress,
        cancel: &CancelToken,
    ) -> Result<ModelFiles, StoreError> {
        let manifest = self.manifest(name)?;
        progress.on_event(PullEvent::Started { model: name, total_bytes: manifest.size_bytes() });
        let mut base_bytes = 0;
        for file in &manifest.files {
            let metadata = self.metadata(manifest, file)?;
            let checked = self.check_sum(manifest, file, &metadata, |bytes| {
                progress.on_event(PullEvent::Progress { done_bytes: base_bytes + bytes.min(file.size_bytes) });
                if cancel.is_cancelled() { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
            });
            if cancel.is_cancelled() {
                return Err(StoreError::Cancelled { name: name.to_owned() });
            }
            checked?;
            base_bytes += file.size_bytes;
        }
        progress.on_event(PullEvent::Finished);
        Ok(self.files(manifest))
    }

    fn metadata(&self, manifest: &Manifest, file: &ManifestFile) -> Result<fs::Metadata, StoreError> {
        let path = self.file_path(file);
        match fs::metadata(&path) {
            Ok(metadata) => Ok(metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(StoreError::NotPulled { name: manifest.name.clone(), path })
            }
            Err(source) => Err(StoreError::Io { doing: "read", path, source }),
        }
    }

    /// Hashes one file and writes what came out into the stamp.
    fn check_sum(
        &self,
        manifest: &Manifest,
        file: &ManifestFile,
        metadata: &fs::Metadata,
        each: impl FnMut(u64) -> io::Result<()>,
    ) -> Result<(), StoreError> {
        let path = self.file_path(file);
        let (actual, _) = sha256_file(&path, each).map_err(StoreError::io("read", &path))?;
        let stamp_path = self.stamp_path(&manifest.name);
        let mut stamp = Stamp::read(&stamp_path);
        let matches = actual == file.sha256;
        // A store that cannot be written still serves: it only hashes again next time.
        if matches {
            let _ = stamp.add(&file.path, metadata, actual).and_then(|()| stamp.write(&stamp_path));
            return Ok(());
        }
        stamp.remove(&file.path);
        let _ = stamp.write(&stamp_path);
        Err(StoreError::Changed { name: manifest.name.clone(), path, actual, expected: file.sha256 })
    }

    fn files(&self, manifest: &Manifest) -> ModelFiles {
        let folder = self.models_folder();
        let weights = manifest.files.first().map_or_else(|| folder.clone(), |file| folder.join(&file.path));
        ModelFiles { manifest: manifest.clone(), weights, folder }
    }
}
