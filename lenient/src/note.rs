//! What was read, and what had to be done to read it.

use serde_json::Value;

use crate::{MAX_BYTES, MAX_DEPTH, MAX_VALUES};

/// A document, and what was not as the format wants it.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// What the document says.
    pub value: Value,
    /// By place; none where a strict parser reads the whole text as it is.
    pub notes: Vec<Note>,
}

impl Read {
    /// Whether a strict parser would have read the same from the whole text.
    pub fn is_strict(&self) -> bool {
        self.notes.is_empty()
    }

    /// Whether every repair had only one sensible reading.
    pub fn is_certain(&self) -> bool {
        !self.notes.iter().any(|note| note.kind.is_doubt())
    }

    /// Whether the text ended before the document did.
    pub fn is_cut(&self) -> bool {
        self.notes.iter().any(|note| note.kind == Kind::Cut)
    }

    pub(crate) fn new(value: Value, mut notes: Vec<Note>) -> Self {
        notes.sort_by_key(|note| note.at);
        notes.dedup();
        Self { value, notes }
    }
}

/// Something that was not as the format wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Note {
    /// Byte of the text where it is.
    pub at: usize,
    /// What it is.
    pub kind: Kind,
}

macro_rules! kinds {
    ($($group:ident { $($(#[doc = $doc:literal])+ $name:ident = $words:literal,)+ })+) => {
        /// What was not as the format wants it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind { $($($(#[doc = $doc])+ $name,)+)+ }

        impl Kind {
            fn words(self) -> &'static str {
                match self { $($(Self::$name => $words,)+)+ }
            }

            /// Whether what was meant could also have been something else.
            pub fn is_doubt(self) -> bool {
                const DOUBT: bool = true;
                const REPAIR: bool = false;
                match self { $($(Self::$name => $group,)+)+ }
            }
        }
    };
}

kinds! {
    REPAIR {
        /// A Markdown fence around the document.
        Fence = "fenced",
        /// Text before the document.
        ProseBefore = "text before the document",
        /// Text after the document.
        ProseAfter = "text after the document",
        /// A comment where the format has none.
        Comment = "comment",
        /// A comma before a closing bracket, or several in a row.
        ExtraComma = "extra comma",
        /// No comma between two members.
        MissingComma = "missing comma",
        /// A key without quotes.
        BareKey = "key without quotes",
        /// Text without the quotes that it needs.
        BareText = "text without quotes",
        /// Single, typographic or tripled quotes, or backticks.
        OtherQuotes = "other quotes",
        /// A quote within a text, unescaped.
        InnerQuote = "unescaped quote",
        /// `True`, `None` and the like.
        ForeignLiteral = "literal of another language",
        /// A number written as another language does: `+1`, `.5`, `1_000`, `0xff`.
        ForeignNumber = "number of another language",
        /// A backslash before a character that needs none.
        Escape = "escape that is none",
        /// A line break or another control character within quotes.
        RawControl = "control character in quotes",
        /// Texts put together with `+`.
        Concatenation = "texts joined by +",
        /// `=` or `=>` for a colon.
        OtherSeparator = "another sign for a colon",
        /// Round brackets for square ones.
        Tuple = "tuple",
        /// An inner bracket that was not closed, where an outer one is.
        MissingCloser = "bracket never closed",
        /// Tabs where only spaces count.
        Tab = "tab in the indentation",
        /// `key:value` where a space must follow the colon.
        MissingSpace = "no space after the colon",
        /// Bullets other than `-`.
        OtherBullet = "another bullet",
        /// A block of text that is not indented.
        Unindented = "block that is not indented",
        /// The text ends before the document does; what was begun is kept as far as it goes.
        Cut = "cut off",
    }
    DOUBT {
        /// Another document follows, which was not read.
        MoreFollows = "another document follows",
        /// A key that was there before; the later value was taken.
        DuplicateKey = "key twice",
        /// A key without a value; `null` was taken.
        MissingValue = "no value",
        /// A closing bracket of another kind, or one too many.
        WrongCloser = "wrong bracket",
        /// The closing quote is missing; the line's end was taken for it.
        MissingQuote = "quote never closed",
        /// `...` for what was left out.
        Elided = "something left out",
        /// `NaN`, `undefined` and the like, which have no value here; `null` was taken.
        NoSuchValue = "not a value",
        /// An indentation between those of the levels around.
        Indentation = "indentation of no level",
        /// A quoted text that is put together with what only a program knows; all of it was taken as text.
        Expression = "expression of a program",
        /// Brackets within a line of something else that needed repair: what they are in may be no document.
        WithinLine = "begins within a line",
        /// A line that belongs to nothing; it was added to the text before it, or left out where there is none.
        StrayLine = "stray line",
        /// An anchor, alias or tag in a document that is not valid otherwise; it was taken as text.
        Reference = "anchor, alias or tag taken as text",
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.words())
    }
}

/// Why nothing was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// There is no document of the format.
    #[error("no document in the text")]
    Nothing,
    /// Longer than [`MAX_BYTES`].
    #[error("text longer than {MAX_BYTES} bytes")]
    TooLong,
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("nested deeper than {MAX_DEPTH} at byte {at}")]
    TooDeep {
        /// Byte of the text.
        at: usize,
    },
    /// More than [`MAX_VALUES`] values.
    #[error("more than {MAX_VALUES} values")]
    TooMany,
}
