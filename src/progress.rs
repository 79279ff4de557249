//! Shows a pull or a verification: one bar on a terminal, a line every tenth elsewhere, nothing when quiet.

use std::sync::Mutex;

use indicatif::{DecimalBytes, ProgressBar, ProgressStyle};
use synod_models::store::{PullEvent, PullProgress};

use crate::live;
use crate::output::Output;

const TEMPLATE: &str = "{prefix} {bar:25} {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {eta} {msg}";

/// Listens to one pull after another.
pub(crate) struct Progress {
    output: Output,
    verb: &'static str,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    model: String,
    total_bytes: u64,
    bar: Option<ProgressBar>,
    /// Tenths said so far, where there is no bar.
    tenths: u64,
}

impl Progress {
    /// `verb` is what is being done, for instance `pulling`.
    pub(crate) fn new(output: Output, verb: &'static str) -> Self {
        Self { output, verb, state: Mutex::default() }
    }
}

impl PullProgress for Progress {
    fn on_event(&self, event: PullEvent<'_>) {
        // A poisoned lock means that drawing panicked once; the pull matters more than the bar.
        let Ok(mut state) = self.state.lock() else { return };
        match event {
            PullEvent::Started { model, total_bytes } => {
                *state = State { model: model.to_owned(), total_bytes, ..State::default() };
            }
            PullEvent::Progress { done_bytes } => state.progress(self.output, self.verb, done_bytes),
            PullEvent::Step { text } => {
                if let Some(bar) = &state.bar {
                    bar.set_message(text.to_owned());
                }
            }
            PullEvent::Waiting { model } => {
                let text = format!("another process is pulling {model}; waiting for it");
                self.output.note(&text);
            }
            PullEvent::SourceFailed { from, error } => {
                self.output.note(&format!("source failed: {from}: {error}"));
                // The next source begins with what it has.
                state.tenths = 0;
            }
            PullEvent::Finished => {
                if let Some(bar) = state.bar.take() {
                    live::remove(&bar);
                }
            }
            _ => {}
        }
    }
}

impl State {
    fn progress(&mut self, output: Output, verb: &str, done_bytes: u64) {
        if output.is_watched() && !output.is_quiet() {
            // A model that is there already says only that it is complete: no bar for that.
            if self.bar.is_none() && done_bytes == self.total_bytes {
                return;
            }
            let (model, total_bytes) = (self.model.clone(), self.total_bytes);
            self.bar.get_or_insert_with(|| new_bar(verb, model, total_bytes)).set_position(done_bytes);
            return;
        }
        let tenths = done_bytes.saturating_mul(10) / self.total_bytes.max(1);
        let complete_from_the_start = self.tenths == 0 && tenths == 10;
        if tenths > self.tenths && !complete_from_the_start {
            self.tenths = tenths;
            let (done, total) = (DecimalBytes(done_bytes), DecimalBytes(self.total_bytes));
            output.note(&format!("{verb} {}: {}% ({done} of {total})", self.model, tenths * 10));
        }
    }
}

fn new_bar(verb: &str, model: String, total_bytes: u64) -> ProgressBar {
    let bar = live::add(ProgressBar::new(total_bytes));
    // The template is a constant that is tried at every pull; a plain bar is good enough if it were wrong.
    let style = ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.progress_chars("=> "));
    bar.set_prefix(format!("{verb} {model}"));
    bar
}
