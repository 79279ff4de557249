//! What can be wrong with a grammar, or with a token under one.

/// Why a grammar was refused or could not be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrammarError {
    /// The source is too long.
    #[error("the grammar has {bytes} bytes, more than the limit of {limit}")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Brackets are nested too deep.
    #[error("the grammar nests brackets {depth} deep, more than the limit of {limit}")]
    TooDeep {
        /// Its depth.
        depth: usize,
        /// The limit.
        limit: usize,
    },
    /// The schema is not JSON.
    #[error("the JSON schema is not JSON: {0}")]
    Json(String),
    /// A part of the schema cannot be enforced as it is written.
    #[error("the JSON schema {at}: {problem}")]
    Schema {
        /// Where, as a JSON pointer.
        at: String,
        /// Why.
        problem: String,
    },
    /// The schema is not a schema, contradicts itself, or is more than the limits allow.
    #[error("cannot compile the JSON schema: {0}")]
    SchemaCompile(String),
    /// The regular expression is not one, or is more than the limits allow.
    #[error("cannot compile the regular expression: {0}")]
    Regex(String),
    /// The grammar is not one, or is more than the limits allow.
    #[error("cannot compile the Lark grammar: {0}")]
    Lark(String),
    /// A part of the grammar that is not allowed here.
    #[error("the Lark grammar, line {line}: {problem}")]
    LarkRefused {
        /// From 1.
        line: usize,
        /// What it is and what to write in its place.
        problem: &'static str,
    },
    /// No text of this vocabulary matches.
    #[error("nothing can be written under this grammar: {0}")]
    Unsatisfiable(String),
    /// The model's vocabulary cannot be used with grammars.
    #[error("grammars do not work with this model's vocabulary: {0}")]
    Vocabulary(String),
    /// The thread that grammars are compiled on could not be started.
    #[error("cannot start a thread to compile the grammar: {0}")]
    Thread(String),
    /// A token that may not follow here. The constraint is as it was.
    #[error("token {id} may not follow under the grammar")]
    NotAllowed {
        /// The token.
        id: u32,
    },
    /// Following the grammar took more than the limits allow, or it led to where nothing may follow.
    #[error("cannot follow the grammar: {0}")]
    Follow(String),
    /// More tokens to take back than there are.
    #[error("cannot take back {asked} tokens: there are {length}")]
    Rollback {
        /// Tokens to take back.
        asked: usize,
        /// Tokens accepted.
        length: usize,
    },
}

/// What llguidance says, on one line and without the parser's state.
pub(super) fn plain(error: &impl ToString) -> String {
    let text = error.to_string();
    let end = ["\n<state>", "\n<non-verbose/>", "<non-verbose/>", "\n<backtrace>"]
        .iter()
        .filter_map(|mark| text.find(mark))
        .min();
    text[..end.unwrap_or(text.len())].split_whitespace().collect::<Vec<_>>().join(" ")
}
