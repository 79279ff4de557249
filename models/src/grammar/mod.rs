//! Constrained decoding: what a model writes matches a JSON schema, a regular expression or a grammar, byte for byte.
//!
//! [`GrammarCompiler`] is built once for each model's vocabulary. It turns a [`Grammar`] into a [`Constraint`], which
//! belongs to one sequence: before each draw it says which tokens may follow, and it follows what was drawn. Where only
//! one text can follow, its tokens are known without asking the model.
//!
//! The parsing is llguidance's. What this module adds: our own vocabularies, limits, and refusals. A grammar that cannot
//! be enforced as it is written is an error when it is compiled; no keyword is ever ignored.

mod compiler;
mod constraint;
mod environment;
mod error;
mod lark;
mod limits;
mod regex;
mod schema;
mod token_set;

pub use compiler::GrammarCompiler;
pub use constraint::Constraint;
pub use error::GrammarError;
pub use limits::GrammarLimits;
pub use token_set::TokenSet;

/// What a text must match, from its first byte to its last.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Grammar {
    /// JSON without white space that is valid under this JSON schema (draft 2020-12, or draft-07 where it says so). Object
    /// members come in the order of the schema.
    JsonSchema(String),
    /// Any JSON object.
    JsonObject,
    /// A regular expression in the syntax of the `regex` crate, matched whole; no anchors or look-around.
    Regex(String),
    /// A grammar in llguidance's dialect of Lark, from its rule `start`.
    Lark(String),
}

#[cfg(test)]
mod tests;
