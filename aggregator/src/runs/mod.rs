//! Runs: what happens in one, as events; the runner that takes a question through a topology; and the record of it.

mod act;
mod ballots;
mod calls;
mod context;
pub mod events;
#[cfg(test)]
pub(crate) mod fake;
mod gate;
mod log;
#[cfg(test)]
mod methods;
mod nested;
mod outbox;
mod overlap;
mod propose;
mod question;
mod registry;
mod run;
mod runner;
mod select;
mod synthesize;
#[cfg(test)]
mod tests;
mod watcher;

pub use question::{AnswerForm, Question};
pub use registry::{RunRecord, RunState, RunSummary};
pub use runner::{RunStream, Runner};
