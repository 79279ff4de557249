//! Source `hf`: a file on the Hugging Face Hub, streamed through `hf-hub`. Its usual variables apply (`HF_TOKEN`,
//! `HF_ENDPOINT`, `HF_HUB_OFFLINE`); its cache does not, because the store is the cache.

use std::future::Future;
use std::thread;
use std::time::Duration;

use futures::StreamExt;
use hf_hub::{HFClient, HFError};

use super::error::SourceError;
use super::join::Join;
use super::progress::Meter;
use super::pull::{FetchError, Pull};

/// For an answer to begin. Generous, as it includes looking up the name and retries.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// For the next bytes of a download that has begun.
const CHUNK_LIMIT: Duration = Duration::from_secs(60);
const CANCEL_POLL: Duration = Duration::from_millis(100);
/// A crash costs at most this much of a download.
const MARK_EVERY_BYTES: u64 = 32 << 20;

pub(super) struct Remote<'a> {
    pub(super) repo: &'a str,
    pub(super) revision: &'a str,
    pub(super) file: &'a str,
    pub(super) expected_bytes: u64,
}

impl Remote<'_> {
    /// Appends what is not there yet. On failure what came is marked, so that the next pull goes on there.
    pub(super) fn fetch(&self, pull: &Pull<'_>, join: &mut Join<'_>, meter: &Meter<'_>) -> Result<(), FetchError> {
        if std::env::var("HF_HUB_OFFLINE").is_ok_and(|value| !matches!(value.as_str(), "" | "0")) {
            return Err(SourceError::Hub("HF_HUB_OFFLINE is set".to_owned()).into());
        }
        if join.bytes() == self.expected_bytes {
            return Ok(());
        }
        meter.step(self.file);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        // On a thread of its own: a caller inside a runtime must not be able to make this panic.
        let run = || runtime.block_on(Box::pin(self.stream(pull, join, meter)));
        let fetched = thread::scope(|scope| scope.spawn(run).join());
        let fetched = fetched.unwrap_or_else(|_| Err(SourceError::Hub("hf-hub panicked".to_owned()).into()));
        let too_long = matches!(fetched, Err(FetchError::Source(SourceError::TooLong { .. })));
        if !too_long && join.bytes() > 0 {
            join.mark(0)?;
        }
        fetched
    }

    async fn stream(&self, pull: &Pull<'_>, join: &mut Join<'_>, meter: &Meter<'_>) -> Result<(), FetchError> {
        let client = HFClient::builder().cache_enabled(false).retry_max_attempts(2).build().map_err(refused)?;
        let (owner, name) = hf_hub::split_id(self.repo);
        let repository = client.model(owner, name);
        let request = repository
            .download_file_stream()
            .filename(self.file)
            .revision(self.revision)
            .range(join.bytes()..self.expected_bytes)
            .send();
        let (_, mut chunks) = within(pull, ANSWER_LIMIT, request).await?.map_err(refused)?;
        let mut marked_bytes = join.bytes();
        while let Some(chunk) = within(pull, CHUNK_LIMIT, chunks.next()).await? {
            join.write(&chunk.map_err(refused)?)?;
            meter.at(join.bytes());
            if join.bytes() - marked_bytes >= MARK_EVERY_BYTES {
                join.mark(0)?;
                marked_bytes = join.bytes();
            }
        }
        Ok(())
    }
}

/// Waits for `future`, but not longer than `limit` and not once cancelled.
async fn within<T>(pull: &Pull<'_>, limit: Duration, future: impl Future<Output = T>) -> Result<T, FetchError> {
    let cancelled = async {
        while !pull.cancel.is_cancelled() {
            tokio::time::sleep(CANCEL_POLL).await;
        }
    };
    tokio::select! {
        result = tokio::time::timeout(limit, future) => {
            result.map_err(|_| SourceError::Hub(format!("no answer within {} s", limit.as_secs())).into())
        }
        () = cancelled => Err(pull.cancelled().into()),
    }
}

/// hf-hub's own text of a failed request repeats the address and not the reason.
fn refused(error: HFError) -> SourceError {
    match error {
        HFError::Request { source, .. } => failed(source),
        other => failed(other),
    }
}

/// An error with its causes in one line.
fn failed(error: impl std::error::Error) -> SourceError {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    SourceError::Hub(text)
}
