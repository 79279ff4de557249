//! The batching engine: one thread a model, many sequences a step.

mod error;
mod handle;
mod request;

pub use error::EngineError;
pub use handle::{Engine, EngineLoad, EngineOptions, LoadError, ModelInfo, PromptWriter, Sequence};
pub use request::{Event, FinishReason, Finished, Sampling, SequenceOptions, TokenEvent};
