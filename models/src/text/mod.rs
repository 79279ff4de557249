//! Text to token ids and back, and chats to prompts.
//!
//! [`Tokenizer`] is built from the vocabulary in a GGUF file and gives the same ids as llama.cpp; [`ChatTemplate`] runs the
//! file's Jinja template. Both know that a prompt is put together from text we wrote and text that users or other models
//! wrote: a [`Piece`] says which, and control tokens are only ever read out of the first kind.

mod byte_level;
mod clock;
mod environment;
mod error;
mod markers;
mod piece;
mod pretokenize;
mod special;
mod spm;
mod stream;
mod template;
mod token_index;
mod tokenizer;
mod vocabulary;

#[cfg(test)]
pub(crate) mod testing;

pub use self::{
    error::{TemplateError, TokenizerError},
    piece::{Piece, Specials},
    stream::Utf8Stream,
    template::{ChatMessage, ChatTemplate, TemplateKind},
    tokenizer::Tokenizer,
};
