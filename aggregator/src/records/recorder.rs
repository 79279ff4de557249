//! The handle through which runs are recorded.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread::{Builder, JoinHandle},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{sync::oneshot, task::spawn_blocking, time::timeout};

use super::{
    Began, Called, Filter, Line, ReadError, Reader, Record, Settings,
    entry::Entry,
    queue::{Sender, queue},
    writer::Writer,
};
use crate::runs::RunRecord;

/// How long who reads waits for what is still to be written.
const FLUSH: Duration = Duration::from_secs(1);
/// How long the end of the process waits for it.
const CLOSE: Duration = Duration::from_secs(5);

/// Records runs. What it is told never waits and never fails: what cannot be written is dropped and counted.
#[derive(Debug)]
pub struct Recorder {
    queue: Sender,
    path: PathBuf,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Recorder {
    /// Starts the thread that writes.
    pub fn start(settings: Settings) -> Arc<Self> {
        let (queue, batches) = queue();
        let path = settings.path.clone();
        let writer = move || Writer::new(settings).run(&batches);
        let thread = Builder::new().name("records".to_owned()).spawn(writer);
        let thread = thread.inspect_err(|error| queue.health.lost(0, &error.to_string())).ok();
        Arc::new(Self { queue, path, thread: Mutex::new(thread) })
    }

    /// Where it writes.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many entries could not be written so far: a run is one for its beginning, one for its end and one a call.
    pub fn dropped(&self) -> u64 {
        self.queue.health.dropped()
    }

    /// The newest runs, those of other processes that write the same file among them.
    pub async fn list(&self, filter: Filter) -> Result<Vec<Line>, ReadError> {
        self.read(move |reader| reader.list(&filter)).await
    }

    /// A run by its id, by a beginning of it that no other has, or as `last`.
    pub async fn get(&self, run: String) -> Result<Record, ReadError> {
        self.read(move |reader| reader.get(&reader.resolve(&run)?)).await
    }

    /// Writes what is still to be written, within a few seconds, and ends. What comes later is dropped.
    pub async fn close(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return };
        let sender = self.queue.clone();
        let ending = spawn_blocking(move || {
            sender.send_last();
            thread.join()
        });
        if timeout(CLOSE, ending).await.is_err() {
            tracing::warn!("the last runs may not be recorded: their disk is slow");
        }
    }

    pub(crate) fn began(&self, began: Began) {
        self.queue.send(Entry::Began(Box::new(began)));
    }

    pub(super) fn called(&self, called: Called) {
        self.queue.send(Entry::Called(Box::new(called)));
    }

    pub(crate) fn ended(&self, run: RunRecord) {
        self.queue.send(Entry::Ended(Box::new(run)));
    }

    /// Reads what has been told so far.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let (written, wait) = oneshot::channel();
        if self.queue.send(Entry::Flush(written)) {
            // A reader of a slow disk sees what is there by then.
            let _ = timeout(FLUSH, wait).await;
        }
        let path = self.path.clone();
        let reading = spawn_blocking(move || read(&Reader::open(&path)?));
        reading.await.unwrap_or(Err(ReadError::Broken))
    }
}

/// Milliseconds since 1970.
pub(crate) fn unix_ms(time: SystemTime) -> u64 {
    super::ended::ms(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}
