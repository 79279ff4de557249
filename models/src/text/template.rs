//! Chats to prompts, by the template in the model's file.

use std::{error::Error as _, io, sync::Arc, thread};

use minijinja::{ErrorKind, Value, context};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::gguf::GgufFile;

use super::{
    Piece, TemplateError, Tokenizer,
    environment::{self, Refusal},
    markers::Markers,
    special::SpecialTokens,
};

/// Real templates have up to some 20 kB.
const MAX_TEMPLATE_BYTES: usize = 64 << 10;
/// The stack that templates are compiled and run on. minijinja descends into chains such as `a.b.c…` and into nested values
/// without a limit, a call for each level. What fits the limits on template and fuel takes up to 64 MiB in a debug build; of
/// this only touched pages count.
const STACK_BYTES: usize = 128 << 20;
/// More than any context here can hold.
const MAX_OUTPUT_BYTES: usize = 16 << 20;

/// One message of a chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// `system`, `user`, `assistant` or `tool`; templates may refuse some.
    pub role: String,
    /// What was said. Never trusted: control tokens in it are text.
    pub content: String,
}

/// What kind of model a template is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TemplateKind {
    /// A model that continues text. Its file has no template; contents are joined by blank lines, without roles, control
    /// tokens or a generation prompt.
    Base,
    /// A model trained on chats, with a template in its file.
    Chat,
}

/// A model's chat template.
pub struct ChatTemplate {
    /// `None` for a base model.
    source: Option<String>,
    bos: String,
    eos: String,
    special: Arc<SpecialTokens>,
}

impl ChatTemplate {
    /// The template of the model in `file`, whose tokenizer is `tokenizer`.
    ///
    /// # Errors
    /// When the template is not valid Jinja.
    pub fn from_gguf(file: &GgufFile, tokenizer: &Tokenizer) -> Result<Self, TemplateError> {
        let source = file.str("tokenizer.chat_template")?.map(str::to_owned);
        if let Some(source) = &source {
            if source.len() > MAX_TEMPLATE_BYTES {
                return Err(TemplateError::TooLong { bytes: source.len(), limit: MAX_TEMPLATE_BYTES });
            }
            on_large_stack(|| {
                let environment = environment::environment(0);
                environment.template_from_str(source).map(|_| ()).map_err(TemplateError::Compile)
            })?;
        }
        let text = |id: Option<u32>| id.map(|id| tokenizer.token_text(id)).unwrap_or_default();
        let (bos, eos) = (text(tokenizer.bos()), text(tokenizer.eos()));
        Ok(Self { source, bos, eos, special: Arc::clone(tokenizer.special()) })
    }

    /// Whether the model was trained on chats.
    #[must_use]
    pub fn kind(&self) -> TemplateKind {
        if self.source.is_some() { TemplateKind::Chat } else { TemplateKind::Base }
    }

    /// The sha256 of the template's text, in hexadecimal; none for a base model, which has no template.
    #[must_use]
    pub fn sha256(&self) -> Option<String> {
        let digest = |source: &String| Sha256::digest(source).iter().map(|byte| format!("{byte:02x}")).collect();
        self.source.as_ref().map(digest)
    }

    /// The prompt for `messages`; with `add_generation_prompt`, up to where the model's own answer starts.
    ///
    /// # Errors
    /// When there are no messages, when the template refuses these or fails, or when it does more work than a real one.
    pub fn render(&self, messages: &[ChatMessage], add_generation_prompt: bool) -> Result<String, TemplateError> {
        if messages.is_empty() {
            return Err(TemplateError::Empty);
        }
        let Some(source) = &self.source else {
            let contents: Vec<&str> = messages.iter().map(|message| message.content.as_str()).collect();
            return Ok(contents.join("\n\n"));
        };
        on_large_stack(|| self.run(source, messages, add_generation_prompt))
    }

    fn run(
        &self,
        source: &str,
        messages: &[ChatMessage],
        add_generation_prompt: bool,
    ) -> Result<String, TemplateError> {
        let bytes = messages.iter().map(|message| message.role.len() + message.content.len()).sum();
        let environment = environment::environment(bytes);
        // Compiled each time: it takes microseconds, and a compiled template would borrow from its source.
        let template = environment.template_from_str(source).map_err(TemplateError::Compile)?;
        let message = |m: &ChatMessage| context! { role => m.role.as_str(), content => m.content.as_str() };
        // `tools` and `documents` are none rather than absent, as transformers passes them.
        let values = context! {
            messages => messages.iter().map(message).collect::<Vec<Value>>(),
            add_generation_prompt,
            bos_token => self.bos.as_str(),
            eos_token => self.eos.as_str(),
            tools => Value::from(()),
            documents => Value::from(()),
        };
        let mut output = Limited(vec![]);
        template.render_captured_to(values, &mut output).map_err(render_error)?;
        Ok(String::from_utf8_lossy(&output.0).into_owned())
    }

    /// The prompt for an answer to `messages`, with contents as untrusted pieces.
    ///
    /// Where the template rewrites contents so that they cannot be found again, the prompt is one trusted piece if no
    /// content holds the text of a control token, and an error otherwise.
    ///
    /// # Errors
    /// Those of [`render`](Self::render), and for text of control tokens in a role or where it cannot be kept apart.
    pub fn render_pieces(&self, messages: &[ChatMessage]) -> Result<Vec<Piece>, TemplateError> {
        let plain = self.render(messages, true)?;
        let markers = self.markers(messages, &plain)?;
        self.trace(messages, plain, markers)
    }

    /// The prompt as in [`render_pieces`](Self::render_pieces), cut at the end of the last message's content, so that more
    /// content can go between the two parts. White space at that end is kept even if the template trims contents: it will
    /// not be at an end.
    ///
    /// # Errors
    /// Those of [`render_pieces`](Self::render_pieces), and when the last message's end is not exactly once in the prompt.
    pub fn render_open(&self, messages: &[ChatMessage]) -> Result<(Vec<Piece>, Vec<Piece>), TemplateError> {
        let markers = self.markers(messages, &self.render(messages, true)?)?;
        let mut messages = messages.to_vec();
        if let Some(last) = messages.last_mut() {
            *last = markers.leave_open(last);
        }
        let plain = self.render(&messages, true)?;
        markers.cut(self.trace(&messages, plain, markers)?)
    }

    /// Markers for these messages, which render to `plain`; refuses roles that would forge a turn.
    fn markers(&self, messages: &[ChatMessage], plain: &str) -> Result<Markers, TemplateError> {
        if let Some(message) = messages.iter().find(|message| self.special.has_control(&message.role)) {
            return Err(TemplateError::Role { role: message.role.clone() });
        }
        Markers::new(messages.iter().map(|message| message.content.as_str()).chain([plain]))
    }

    /// The pieces of the prompt `plain` for `messages`.
    fn trace(&self, messages: &[ChatMessage], plain: String, markers: Markers) -> Result<Vec<Piece>, TemplateError> {
        let enclosed: Vec<ChatMessage> = messages.iter().map(|message| markers.enclose(message)).collect();
        let traced = self.render(&enclosed, true).and_then(|marked| {
            if markers.marks_only(&marked, &plain) { markers.pieces(&marked) } else { Err(TemplateError::Untraceable) }
        });
        match traced {
            Err(_) if !messages.iter().any(|message| self.special.has_control(&message.content)) => {
                Ok(vec![Piece::trusted(plain)])
            }
            traced => traced,
        }
    }
}

impl std::fmt::Debug for ChatTemplate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChatTemplate").field("kind", &self.kind()).finish_non_exhaustive()
    }
}

/// Runs `work` on a thread whose stack a hostile template cannot overflow: that would end the process.
fn on_large_stack<T: Send>(work: impl FnOnce() -> Result<T, TemplateError> + Send) -> Result<T, TemplateError> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("chat-template".to_owned()).stack_size(STACK_BYTES);
        let running = thread.spawn_scoped(scope, work).map_err(TemplateError::Thread)?;
        running.join().unwrap_or(Err(TemplateError::Panicked))
    })
}

fn render_error(error: minijinja::Error) -> TemplateError {
    if let Some(message) = Refusal::find(&error) {
        return TemplateError::Refused { message: message.to_owned() };
    }
    match root_kind(&error) {
        ErrorKind::OutOfFuel => TemplateError::OutOfFuel,
        ErrorKind::WriteFailure => TemplateError::OutputTooLarge { limit: MAX_OUTPUT_BYTES },
        _ => TemplateError::Render(error),
    }
}

/// The kind of the error that started a chain of them: a failing macro wraps what failed in it.
fn root_kind(error: &minijinja::Error) -> ErrorKind {
    let mut kind = error.kind();
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<minijinja::Error>() {
            kind = error.kind();
        }
        source = error.source();
    }
    kind
}

/// A buffer that takes no more than the limit.
struct Limited(Vec<u8>);

impl io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_OUTPUT_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
