//! Where lines come from: a line editor at a terminal, a pipe elsewhere. Both block, so they have a thread of their own.

use std::io;
use std::sync::mpsc;

use synod_aggregator::client::Offered;
use tokio::sync::mpsc as asynchronous;

use super::editor::LineEditor;
use crate::exit::{ExitCode, Failure};
use crate::output::Output;
use crate::state;

const HISTORY: &str = "chat-history";

type Line = Result<Option<String>, Failure>;

/// Lines, one when it is asked for.
pub(super) struct Input {
    ask: mpsc::SyncSender<()>,
    lines: asynchronous::Receiver<Line>,
}

impl Input {
    /// From the line editor, which completes the names of these topologies.
    ///
    /// # Errors
    /// The terminal cannot be used.
    pub(super) fn typed(topologies: &[Offered], keep_history: bool, output: &Output) -> Result<Self, Failure> {
        let history = if keep_history { state::file(HISTORY).ok() } else { None };
        let names = topologies.iter().map(|topology| topology.name.clone()).collect();
        let mut editor = LineEditor::new(names, history, output)?;
        Ok(Self::over(move || editor.line()))
    }

    /// From standard input.
    pub(super) fn piped() -> Self {
        Self::over(|| {
            let line = io::stdin().lines().next().transpose();
            line.map_err(|error| Failure::new(ExitCode::Failed, format!("cannot read standard input: {error}")))
        })
    }

    /// The thread ends with its next line once this is dropped: one that waits for a line cannot be told to stop.
    fn over(mut line: impl FnMut() -> Line + Send + 'static) -> Self {
        let (ask, asked) = mpsc::sync_channel(1);
        let (send, lines) = asynchronous::channel(1);
        std::thread::spawn(move || while asked.recv().is_ok() && send.blocking_send(line()).is_ok() {});
        Self { ask, lines }
    }

    /// The next line; none after the last.
    pub(super) async fn next(&mut self) -> Line {
        let gone = || Failure::new(ExitCode::Failed, "internal error: nobody reads lines any more");
        self.ask.send(()).map_err(|_| gone())?;
        self.lines.recv().await.ok_or_else(gone)?
    }
}
