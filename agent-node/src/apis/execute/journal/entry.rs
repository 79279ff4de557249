//! Lines of the journal, and the calls that they tell of.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A call, as far as the journal knows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// What names it.
    pub id: String,
    /// When it was about to be sent: milliseconds since 1970.
    pub at_ms: u64,
    /// What was called, and with what.
    #[serde(flatten)]
    pub intent: Intent,
    /// What came of it.
    pub state: State,
    /// The server's status, such as `201 Created`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How it can be undone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undo: Option<Undo>,
    /// The call that undoes it, or tried to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undone_by: Option<String>,
    /// What came of that.
    #[serde(skip)]
    pub(super) undoing: Option<State>,
}

/// What came of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The server said that it did it.
    Done,
    /// The server said that it did not.
    Failed,
    /// It never left.
    NotSent,
    /// It left, or may have, and what came of it nobody saw.
    Unknown,
}

/// The call that undoes another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Undo {
    /// The API's name.
    pub api: String,
    /// What it is called with.
    pub arguments: Map<String, Value>,
}

/// What is about to be called.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// The API's name.
    pub api: String,
    /// Its class of effect.
    pub class: String,
    /// The server, as the API's document names it.
    pub server: String,
    /// Where in it: `POST /notes`, a tool, a method.
    pub target: String,
    /// With what.
    pub arguments: Map<String, Value>,
    /// What was agreed to.
    pub fingerprint: String,
    /// The call that this undoes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undoes: Option<String>,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in super::super) struct Outcome {
    pub(in super::super) state: State,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in super::super) status: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in super::super) error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in super::super) undo: Option<Undo>,
}

/// A line.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct Line {
    id: String,
    at_ms: u64,
    #[serde(flatten)]
    event: Event,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event {
    Intent(Intent),
    Outcome(Outcome),
}

impl Line {
    pub(super) fn intent(id: String, intent: Intent) -> Self {
        Self { id, at_ms: now_ms(), event: Event::Intent(intent) }
    }

    pub(super) fn outcome(id: String, outcome: Outcome) -> Self {
        Self { id, at_ms: now_ms(), event: Event::Outcome(outcome) }
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl State {
    /// As a sentence about a call goes on.
    pub(in super::super) fn said(self) -> &'static str {
        match self {
            Self::Done => "was made",
            Self::Failed => "was refused by the server",
            Self::NotSent => "was not sent",
            Self::Unknown => "may have been made, look at the server before it is made again",
        }
    }
}

impl Entry {
    /// Why this call cannot be undone; nothing if it can.
    #[must_use]
    pub fn not_undoable(&self) -> Option<&'static str> {
        match (self.undoing, self.state, &self.undo) {
            (Some(State::Done), ..) => Some("it has been undone"),
            (Some(State::Unknown), ..) => {
                Some("somebody is undoing it, or tried to and did not see how it ended: look at the server")
            }
            (_, State::Failed | State::NotSent, _) => Some("it did nothing"),
            (_, State::Unknown, _) => Some("what it did is unknown: look at the server"),
            (_, State::Done, None) => {
                Some("its document names nothing that undoes it, or the answer lacks what that needs")
            }
            (_, State::Done, Some(_)) => None,
        }
    }
}

/// Adds what a line tells.
pub(super) fn apply(entries: &mut Vec<Entry>, line: Line) {
    // Lines of a call are near each other.
    let position = |entries: &[Entry], id: &str| entries.iter().rposition(|entry| entry.id == id);
    match line.event {
        Event::Intent(intent) => {
            let undone = intent.undoes.as_deref().and_then(|undone| position(entries, undone));
            if let Some(at) = undone {
                entries[at].undone_by = Some(line.id.clone());
                entries[at].undoing = Some(State::Unknown);
            }
            entries.push(Entry {
                id: line.id,
                at_ms: line.at_ms,
                intent,
                state: State::Unknown,
                status: None,
                error: None,
                undo: None,
                undone_by: None,
                undoing: None,
            });
        }
        Event::Outcome(outcome) => {
            let Some(at) = position(entries, &line.id) else { return };
            let undone = entries[at].intent.undoes.clone().and_then(|undone| position(entries, &undone));
            if let Some(undone) = undone {
                entries[undone].undoing = Some(outcome.state);
            }
            let Outcome { state, status, error, undo } = outcome;
            let entry = &mut entries[at];
            (entry.state, entry.status, entry.error, entry.undo) = (state, status, error, undo);
        }
    }
}
