//! The Synod aggregator: takes a question through a topology of members that nodes host, and streams one answer.
//!
//! The rooms, from the inside out: [`topology`] says what is to be done, `stages` decides without a network, [`prompts`]
//! words it, [`members`] asks nodes, [`discovery`] knows which there are, [`runs`] does it all, [`records`] keeps what was,
//! [`serve()`] puts it behind gRPC, [`http`] behind what OpenAI's clients speak. Nothing here names an inference engine or
//! a model file.

mod admission;
pub mod client;
pub mod discovery;
mod error;
pub mod http;
mod limits;
pub mod members;
mod metrics;
pub mod prompts;
pub mod records;
pub mod runs;
mod serve;
mod service;
mod stages;
pub mod topology;
pub mod window;
mod wire;

pub use client::Client;
pub use error::{Error, ErrorCode, Retry};
pub use limits::Limits;
pub use runs::{AnswerForm, Question, RunStream, Runner, events};
pub use serve::{Network, Options, ServeError, serve, serve_both, serve_watched, serve_with};
pub use stages::{Candidate, FinishReason};
pub use window::Window;
