//! What a cluster is doing, in place below the log.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use synod_aggregator::Window;
use tokio::time::{MissedTickBehavior, interval};

use super::{
    rates::Rates,
    status::{Seen, lines},
};
use crate::output::Output;
use crate::terminal::{self, Kept};
use crate::{live, warnings};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);

/// Where a cluster is reached.
pub(super) struct Addresses {
    pub(super) grpc: SocketAddr,
    /// Its URL, where it is served.
    pub(super) http: Option<String>,
}

/// Lines at the end of the terminal, taken away when this is dropped.
pub(super) struct View {
    addresses: Addresses,
    window: Window,
    output: Output,
    drawn: ProgressBar,
    began: Instant,
    rates: Rates,
    /// `^C` would tear them.
    _hushed: Kept,
}

impl View {
    /// Draws nothing yet.
    pub(super) fn new(addresses: Addresses, window: Window, output: Output) -> Self {
        let drawn = live::add(ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            drawn.set_style(style);
        }
        let (began, rates) = (Instant::now(), Rates::default());
        Self { addresses, window, output, drawn, began, rates, _hushed: Kept::hushed() }
    }

    /// Looks and draws, again and again, for ever.
    pub(super) async fn keep(mut self) {
        let mut ticks = interval(PAUSE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // A shell that sent it behind has the terminal to itself.
            if !terminal::is_ours() {
                continue;
            }
            let nodes = self.window.nodes();
            self.rates.count(&nodes, Instant::now());
            let seen = Seen {
                addresses: &self.addresses,
                up: self.began.elapsed(),
                nodes: &nodes,
                runs: &self.window.runs(),
                rates: &self.rates,
                warnings: &warnings::last(),
            };
            let (rows, columns) = terminal::size();
            self.drawn.set_message(lines(&seen, rows, columns, &self.output).join("\n"));
        }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        live::remove(&self.drawn);
    }
}
