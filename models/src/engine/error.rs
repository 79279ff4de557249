//! What can go wrong with a sequence.

use crate::grammar::GrammarError;

/// Why a request was refused or ended early.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// Running and waiting sequences have reached their limits.
    #[error("the queue is full: {queued} requests wait for {running} that run; try again in a moment")]
    QueueFull {
        /// Sequences that decode.
        running: usize,
        /// Sequences that wait.
        queued: usize,
    },
    /// Keys and values of the running sequences fill the memory.
    #[error("the running sequences' keys and values leave no room: try again in a moment")]
    NoMemory,
    /// The prompt leaves no room for an answer.
    #[error("the prompt has {prompt_tokens} tokens, and the context holds {context_length}: shorten it by {}", prompt_tokens + 1 - context_length)]
    PromptTooLong {
        /// Tokens of the prompt so far.
        prompt_tokens: usize,
        /// Tokens of prompt and answer together.
        context_length: usize,
    },
    /// There is nothing to continue.
    #[error("the prompt is empty")]
    EmptyPrompt,
    /// A token id that the model does not have.
    #[error("token {id} does not exist: the vocabulary has {vocab_size}")]
    UnknownToken {
        /// The id.
        id: u32,
        /// Ids are below this.
        vocab_size: usize,
    },
    /// A sampling knob out of its range.
    #[error("{0}")]
    InvalidSampling(String),
    /// What the text should match cannot be used, or could not be followed.
    #[error(transparent)]
    Grammar(#[from] GrammarError),
    /// The engine's thread has ended.
    #[error("the engine has stopped")]
    Stopped,
    /// The model computed something that is not a number; the file may be damaged.
    #[error("the model's output is not a number: check the file with `synod models verify`")]
    NotANumber,
}
