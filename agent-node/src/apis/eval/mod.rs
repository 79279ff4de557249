//! How good calls are: questions with known answers, asked of a model, and counted strictly.
//!
//! An answer that cannot be read or is not a call of what was shown counts as wrong, and apart from an answer that says
//! that nothing fits: a model that only writes nonsense must not pass for one that declines well.

pub mod bfcl;
pub mod gorilla;
mod question;
mod report;
mod run;

pub use question::{Question, Truth};
pub use report::{Item, Report, Summary, Verdict};
pub use run::{Member, Panel, run};

#[cfg(test)]
mod tests;
