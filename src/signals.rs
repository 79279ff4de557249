//! Ctrl-C and SIGTERM, turned into something that async and blocking code can watch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use synod_models::store::CancelToken;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Whether the user wants the process to stop. Clones share one state.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupt {
    asynchronous: CancellationToken,
    blocking: CancelToken,
    ctrl_c: CtrlC,
}

/// Ctrl-C, taken by somebody to whom it means something else than the end.
#[derive(Debug, Clone, Default)]
pub(crate) struct CtrlC(Arc<Taken>);

#[derive(Debug, Default)]
struct Taken {
    is_taken: AtomicBool,
    pressed: Notify,
}

impl Interrupt {
    /// Watches for the signals; must be called within a runtime, whose shutdown ends the watching.
    pub(crate) fn install() -> Self {
        let interrupt = Self::default();
        let watched = interrupt.clone();
        tokio::spawn(async move {
            watch(&watched.ctrl_c).await;
            tracing::debug!("interrupted");
            watched.blocking.cancel();
            watched.asynchronous.cancel();
        });
        interrupt
    }

    /// Waits for the signal.
    pub(crate) async fn wait(&self) {
        self.asynchronous.cancelled().await;
    }

    /// Whether there was a signal already.
    pub(crate) fn has_come(&self) -> bool {
        self.asynchronous.is_cancelled()
    }

    /// For code that blocks.
    pub(crate) fn token(&self) -> &CancelToken {
        &self.blocking
    }

    /// From now on Ctrl-C is the caller's, and SIGTERM alone ends the process.
    pub(crate) fn take_ctrl_c(&self) -> CtrlC {
        self.ctrl_c.0.is_taken.store(true, Ordering::Relaxed);
        self.ctrl_c.clone()
    }
}

impl CtrlC {
    /// Waits for the next time that it is pressed.
    pub(crate) async fn pressed(&self) {
        self.0.pressed.notified().await;
    }
}

/// Until the process should stop.
async fn watch(CtrlC(taken): &CtrlC) {
    let mut terminate = listen(SignalKind::terminate(), "SIGTERM");
    let mut interrupt = listen(SignalKind::interrupt(), "Ctrl-C");
    loop {
        tokio::select! {
            () = next(&mut terminate) => return,
            () = next(&mut interrupt) => match taken.is_taken.load(Ordering::Relaxed) {
                true => taken.pressed.notify_waiters(),
                false => return,
            },
        }
    }
}

fn listen(kind: SignalKind, name: &str) -> Option<Signal> {
    signal(kind).inspect_err(|error| tracing::warn!(%error, "cannot listen for {name}")).ok()
}

/// The next of these signals; never where there is no listening: the system's own handler stops the process at once.
async fn next(signals: &mut Option<Signal>) {
    let came = match signals {
        Some(signals) => signals.recv().await,
        None => None,
    };
    if came.is_none() {
        std::future::pending().await
    }
}
