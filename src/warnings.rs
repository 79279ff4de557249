//! The last warnings of this process, for who looks at what it does now rather than at its log.

use std::collections::VecDeque;
use std::fmt::{Debug, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// Warnings that are kept.
const KEPT: usize = 2;

static LAST: Mutex<VecDeque<Warning>> = Mutex::new(VecDeque::new());

/// A warning, or worse.
#[derive(Debug, Clone)]
pub(crate) struct Warning {
    /// When it was logged.
    pub(crate) at: Instant,
    /// What it says, with its fields.
    pub(crate) text: String,
}

/// The last ones, the oldest first.
pub(crate) fn last() -> Vec<Warning> {
    LAST.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
}

/// Keeps what is logged.
pub(crate) struct Keep;

impl<S: Subscriber> Layer<S> for Keep {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() > Level::WARN {
            return;
        }
        let mut text = Text::default();
        event.record(&mut text);
        let warning = Warning { at: Instant::now(), text: format!("{}{}", text.message, text.fields) };
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        last.push_back(warning);
        if last.len() > KEPT {
            last.pop_front();
        }
    }
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
