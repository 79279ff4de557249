//! Prompt text that remembers who wrote it.

/// A part of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The text.
    pub text: String,
    /// Whether control tokens written in it mean themselves. True for template text only: users, documents and other
    /// models get their `<|im_end|>` as plain text.
    pub trusted: bool,
}

impl Piece {
    /// Text whose control tokens count.
    #[must_use]
    pub fn trusted(text: impl Into<String>) -> Self {
        Self { text: text.into(), trusted: true }
    }

    /// Text in which nothing counts as a control token.
    #[must_use]
    pub fn untrusted(text: impl Into<String>) -> Self {
        Self { text: text.into(), trusted: false }
    }
}

/// What becomes of the text of control tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Specials {
    /// It becomes the token.
    Parse,
    /// It is text like any other.
    AsText,
}
