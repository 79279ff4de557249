//! The handle that other crates hold: load a model, open sequences, read their events.

use std::path::Path;

use super::{EngineError, Event, SequenceOptions};
use crate::text::{ChatTemplate, Tokenizer};

/// Limits and resources of an engine.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Worker threads; 0 for one per physical core.
    pub threads: usize,
    /// Sequences that decode together.
    pub max_running: usize,
    /// Sequences that may wait.
    pub max_queued: usize,
    /// Tokens of prompt and answer together; the model's own limit if that is lower.
    pub context_length: usize,
}

/// What is known of a loaded model.
#[derive(Debug, Clone)]
pub struct ModelInfo {
    /// `general.architecture` of the file.
    pub architecture: String,
    /// Tokens of prompt and answer together.
    pub context_length: usize,
    /// Token ids are below this.
    pub vocab_size: usize,
    /// The model file's size.
    pub size_bytes: u64,
}

/// How busy an engine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EngineLoad {
    /// Sequences that prefill or decode.
    pub running: usize,
    /// Sequences that wait.
    pub queued: usize,
}

/// Why a model could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {}

/// A loaded model and the thread that runs it. Clones share it; the last one dropped stops the thread.
#[derive(Clone)]
pub struct Engine {}

impl Engine {
    /// Reads a GGUF file, packs its weights and starts the engine's thread. Blocks for as long as that takes.
    pub fn load(path: &Path, options: EngineOptions) -> Result<Self, LoadError>;

    /// What is known of the model.
    pub fn info(&self) -> &ModelInfo;

    /// The model's tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer;

    /// The model's chat template.
    pub fn template(&self) -> &ChatTemplate;

    /// How busy the engine is now.
    pub fn busy(&self) -> EngineLoad;

    /// The limits it was loaded with.
    pub fn options(&self) -> &EngineOptions;

    /// Takes a place in the queue. The prompt is appended through the writer while the events are awaited; what is
    /// there is prefilled at once, and decoding starts when the writer is finished. Dropping the sequence (both halves)
    /// frees it within a step.
    pub fn open(&self, options: SequenceOptions) -> Result<Sequence, EngineError>;
}

/// A sequence that was admitted.
pub struct Sequence {
    /// Where its prompt is written.
    pub prompt: PromptWriter,
    /// What happens to it. `futures::Stream<Item = Result<Event, EngineError>>`.
    pub events: Events,
}

/// The end of a sequence where its prompt is written. Dropping it without `finish` abandons the sequence.
pub struct PromptWriter {}

impl PromptWriter {
    /// Appends tokens. Refuses what leaves no room for an answer.
    pub fn append(&mut self, ids: &[u32]) -> Result<(), EngineError>;

    /// Tokens appended so far.
    pub fn len(&self) -> usize;

    /// Ends the prompt: decoding starts when it is prefilled.
    pub fn finish(self) -> Result<(), EngineError>;
}
