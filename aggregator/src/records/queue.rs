//! The way to the writer: bounded by entries and by bytes, and never waited for.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
};
use std::time::{Duration, Instant};

use super::entry::Entry;

/// Entries that may wait.
const ENTRIES: usize = 4096;
/// Bytes that they may hold together.
const BYTES: usize = 64 << 20;
/// Entries that are written at once.
const BATCH: usize = 256;
/// How long the first of them waits for others: a transaction costs more than what is in it.
const GATHER: Duration = Duration::from_millis(25);

/// How it is going. Both ends look at it.
#[derive(Debug, Default)]
pub(super) struct Health {
    waiting_bytes: AtomicUsize,
    /// Entries that were not written.
    dropped: AtomicU64,
    /// Entries are being dropped, and somebody has said so.
    failing: AtomicBool,
}

impl Health {
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// So many entries are lost. It is said once, until there is better to say.
    pub(super) fn lost(&self, entries: u64, why: &str) {
        self.dropped.fetch_add(entries, Relaxed);
        if !self.failing.swap(true, Relaxed) {
            tracing::warn!(why, "runs are not recorded for now; they go on as ever");
        }
    }

    /// Something was written.
    pub(super) fn wrote(&self) {
        if self.failing.swap(false, Relaxed) {
            tracing::info!(dropped = self.dropped(), "runs are recorded again");
        }
    }
}

/// The end that runs see.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    queue: SyncSender<Entry>,
    pub(super) health: Arc<Health>,
}

/// The end that the writer sees.
pub(super) struct Batches {
    queue: Receiver<Entry>,
    health: Arc<Health>,
}

pub(super) fn queue() -> (Sender, Batches) {
    let (sender, receiver) = sync_channel(ENTRIES);
    let health = Arc::new(Health::default());
    (Sender { queue: sender, health: Arc::clone(&health) }, Batches { queue: receiver, health })
}

impl Sender {
    /// Takes an entry, or counts it as lost; whether it was taken. Never waits.
    pub(super) fn send(&self, entry: Entry) -> bool {
        let (bytes, is_record) = (entry.bytes(), !matches!(entry, Entry::Flush(_)));
        let waiting = self.health.waiting_bytes.fetch_add(bytes, Relaxed);
        let taken = waiting + bytes <= BYTES && self.queue.try_send(entry).is_ok();
        if !taken {
            self.health.waiting_bytes.fetch_sub(bytes, Relaxed);
            self.health.lost(u64::from(is_record), "they come faster than they can be written");
        }
        taken
    }

    /// Ends the writer once all before it is written. Waits for a place.
    pub(super) fn send_last(&self) {
        let bytes = Entry::Close.bytes();
        self.health.waiting_bytes.fetch_add(bytes, Relaxed);
        // A writer that has ended needs no telling.
        let _ = self.queue.send(Entry::Close);
    }
}

impl Batches {
    pub(super) fn health(&self) -> &Health {
        &self.health
    }

    /// The next entries; none once nobody can send any more.
    pub(super) fn next(&self) -> Option<Vec<Entry>> {
        let mut batch = vec![self.queue.recv().ok()?];
        let until = Instant::now() + GATHER;
        while batch.len() < BATCH && !matches!(batch.last(), Some(Entry::Flush(_) | Entry::Close)) {
            match self.queue.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(entry) => batch.push(entry),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        let bytes = batch.iter().map(Entry::bytes).sum();
        self.health.waiting_bytes.fetch_sub(bytes, Relaxed);
        Some(batch)
    }
}
