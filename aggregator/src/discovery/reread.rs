//! Nodes that somebody listed in a file, which may change.

use std::time::Duration;

use futures::{StreamExt, stream, stream::BoxStream};
use tokio::time::sleep;

use super::{Discovery, Update, changes::Changes};

/// A list that is read again and again. What cannot be read changes nothing.
pub struct Reread<F> {
    read: F,
    every: Duration,
}

impl<F, E> Reread<F>
where
    F: FnMut() -> Result<Vec<String>, E> + Send + 'static,
    E: std::fmt::Display + 'static,
{
    /// Calls `read` now and then `every` so often. It reads a small file, or less.
    pub fn new(every: Duration, read: F) -> Self {
        Self { read, every }
    }
}

struct State<F> {
    source: Reread<F>,
    changes: Changes,
    wrong: Option<String>,
}

impl<F, E> Discovery for Reread<F>
where
    F: FnMut() -> Result<Vec<String>, E> + Send + 'static,
    E: std::fmt::Display + 'static,
{
    fn updates(self: Box<Self>) -> BoxStream<'static, Update> {
        let state = State { source: *self, changes: Changes::default(), wrong: None };
        stream::unfold(state, |mut state| async move {
            loop {
                if let Some(update) = state.changes.next() {
                    return Some((update, state));
                }
                if state.changes.began() || state.wrong.is_some() {
                    sleep(state.source.every).await;
                }
                state.read();
            }
        })
        .boxed()
    }
}

impl<F, E> State<F>
where
    F: FnMut() -> Result<Vec<String>, E>,
    E: std::fmt::Display,
{
    fn read(&mut self) {
        match (self.source.read)() {
            Ok(addresses) => {
                self.changes.set(addresses.into_iter().collect());
                if self.wrong.take().is_some() {
                    tracing::info!("the list of nodes can be read again");
                }
            }
            Err(error) => {
                let error = error.to_string();
                // Once, not each time until somebody has corrected it.
                if self.wrong.as_ref() != Some(&error) {
                    tracing::warn!(error, "cannot read the list of nodes again; keeping those it had");
                }
                self.wrong = Some(error);
            }
        }
    }
}
