//! Why a tokenizer or a chat template could not be used.

use crate::gguf::GgufError;

/// Why a file's vocabulary is not one this crate can tokenise with.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// A metadata entry is missing or of the wrong type.
    #[error("cannot read the vocabulary")]
    Metadata(#[from] GgufError),
    /// A tokenizer family without code here.
    #[error(
        "tokenizer model {model:?} is not supported, only \"gpt2\" (byte-level BPE) and \"llama\" (SentencePiece) are"
    )]
    UnknownModel {
        /// The value of `tokenizer.ggml.model`.
        model: String,
    },
    /// A splitting rule without code here. Guessing would give plausible but wrong ids.
    #[error("pre-tokenizer {pre:?} is not supported, only {} are", supported.join(", "))]
    UnknownPretokenizer {
        /// The value of `tokenizer.ggml.pre`.
        pre: String,
        /// The values that are.
        supported: Vec<&'static str>,
    },
    /// The parts of the vocabulary do not fit each other.
    #[error("inconsistent vocabulary: {0}; pull the model again")]
    Inconsistent(String),
    /// The merges could not be turned into a BPE model.
    #[error("cannot build the BPE model from the file's merges")]
    Merges(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The special tokens or the splitting rule could not be compiled.
    #[error("cannot compile the tokenizer's matchers")]
    Matcher(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why a chat could not be rendered.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The file's metadata is broken.
    #[error("cannot read the chat template")]
    Metadata(#[from] GgufError),
    /// The template is not valid Jinja.
    #[error("the model's chat template is not usable Jinja")]
    Compile(#[source] minijinja::Error),
    /// The template is longer than any real one.
    #[error("the model's chat template has {bytes} bytes, more than the limit of {limit}")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The template called `raise_exception`: it does not take such a chat.
    #[error("the model's chat template refuses these messages: {message}")]
    Refused {
        /// What the template said.
        message: String,
    },
    /// The template did more work than any real one.
    #[error(
        "the model's chat template did not end within its budget; it may loop for ever, or the chat is far too long"
    )]
    OutOfFuel,
    /// The rendered prompt is larger than any context.
    #[error("the rendered prompt is larger than {limit} bytes; shorten the messages")]
    OutputTooLarge {
        /// The limit.
        limit: usize,
    },
    /// The template failed.
    #[error("cannot render the model's chat template")]
    Render(#[source] minijinja::Error),
    /// A role holds the text of a control token.
    #[error("message role {role:?} contains the text of a control token")]
    Role {
        /// The role.
        role: String,
    },
    /// A content holds the text of a control token and the template changes contents, so that they cannot be told from
    /// the template's own text.
    #[error(
        "a message contains the text of a control token and the model's chat template rewrites messages, so that it cannot \
         be kept apart; remove that text from the message"
    )]
    Untraceable,
    /// The end of the last message is not in the output, or is there more than once.
    #[error("the end of the last message is {found} times in the rendered prompt, not once; it cannot be left open")]
    NotOpen {
        /// How often it is there.
        found: usize,
    },
    /// Every private-use character that could mark a place is used in the text.
    #[error("the messages use too many private-use characters to mark places in the prompt")]
    NoMarkers,
    /// The thread that templates run on could not be started.
    #[error("cannot start a thread for the chat template")]
    Thread(#[source] std::io::Error),
    /// The template made the template engine panic.
    #[error("the model's chat template crashed the template engine")]
    Panicked,
    /// There are no messages.
    #[error("there are no messages to render")]
    Empty,
}
