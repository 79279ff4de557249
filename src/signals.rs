//! Ctrl-C and SIGTERM, turned into something that async and blocking code can watch.

use synod_models::store::CancelToken;
use tokio_util::sync::CancellationToken;

/// Whether the user wants the process to stop. Clones share one state.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupt {
    asynchronous: CancellationToken,
    blocking: CancelToken,
}

impl Interrupt {
    /// Watches for the signals until the first; must be called within a runtime, whose shutdown ends the watching.
    pub(crate) fn install() -> Self {
        let interrupt = Self::default();
        let watched = interrupt.clone();
        tokio::spawn(async move {
            signal().await;
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

    /// For code that blocks.
    pub(crate) fn token(&self) -> &CancelToken {
        &self.blocking
    }
}

async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        tracing::warn!("cannot listen for SIGTERM; only Ctrl-C drains");
        return ctrl_c().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        () = ctrl_c() => {}
    }
}

async fn ctrl_c() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        tracing::warn!(%error, "cannot listen for Ctrl-C");
        // Without a handler the system's own stops the process at once.
        std::future::pending::<()>().await;
    }
}
