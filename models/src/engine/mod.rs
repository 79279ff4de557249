//! The batching engine: one thread a model, many sequences a step.
//!
//! [`Engine`] is the handle; its thread is the scheduler. Sequences are opened, their prompts appended as they
//! become known, and their tokens read as a stream. What a sequence writes depends on nothing but its prompt, options and
//! seed: not on what else runs, nor on how its prompt was cut into steps.

mod cache;
mod device;
mod error;
mod handle;
mod likelihood;
mod lookup;
mod masks;
mod model;
mod pace;
mod plan;
mod request;
mod sampler;
mod scheduler;
mod sequence;
mod stop;
mod turn;

pub use device::{Device, DeviceError};
pub use error::EngineError;
pub use handle::{Engine, EngineLoad, EngineOptions, Events, LoadError, ModelInfo, PromptWriter, Sequence};
pub use likelihood::Likelihood;
pub(crate) use plan::STEP_ROWS;
pub use request::{Event, FinishReason, Finished, Sampling, SequenceOptions, TokenEvent};
pub use turn::Compute;
