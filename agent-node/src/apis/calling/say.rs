//! An answer in words, from what a call brought back.

use synod_models::{engine::Engine, text::ChatMessage};

use super::{CallError, CallOptions, Spent, prompt::result, write::write};

/// The most tokens of an answer.
const MAX_TOKENS: usize = 256;
/// The most bytes of a result that a model is shown.
const MAX_BYTES: usize = 4096;

/// Answers the request that ends `conversation` with what its call (`rendered`) brought back. The result is data to the
/// model, whatever it says, and nothing that is written here is ever called. Blocks.
///
/// # Errors
/// When the model cannot be asked. An answer that is longer than it may be is cut short.
pub fn say(
    engine: &Engine,
    conversation: &[ChatMessage],
    rendered: &str,
    content: &str,
) -> Result<(String, Spent), CallError> {
    let shown = beginning(content);
    let prompt = result(engine, conversation, rendered, shown, shown.len() < content.len())?;
    let written =
        write(engine, prompt.ids(), None, &CallOptions { max_tokens: MAX_TOKENS, ..CallOptions::standard() })?;
    let spent = Spent { prompt_tokens: written.prompt_tokens, completion_tokens: written.completion_tokens };
    Ok((written.text.trim().to_owned(), spent))
}

/// What of a result a model is shown.
pub(crate) fn beginning(content: &str) -> &str {
    let mut end = content.len().min(MAX_BYTES);
    while !content.is_char_boundary(end) {
        end -= 1;
    }
    &content[..end]
}
