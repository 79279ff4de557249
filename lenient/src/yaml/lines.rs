//! A text as lines with their indentation.

/// One line, without its indentation and what is blank at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'t> {
    /// Columns before the text.
    pub(super) indent: usize,
    pub(super) text: &'t str,
    /// Byte of the whole text where `text` begins.
    pub(super) start: usize,
    /// Whether tabs are part of the indentation.
    pub(super) tabs: bool,
}

/// Columns that a tab moves on by.
const TAB: usize = 4;

impl<'t> Line<'t> {
    pub(super) fn is_blank(&self) -> bool {
        self.text.is_empty()
    }

    pub(super) fn is_comment(&self) -> bool {
        self.text.starts_with('#')
    }

    /// The rest of the line from a byte of its text on, as a line of its own; blanks before it are indentation.
    pub(super) fn rest(&self, from: usize) -> Line<'t> {
        let rest = &self.text[from..];
        let text = rest.trim_start();
        let skipped = self.text.len() - text.len();
        Line { indent: self.indent + skipped, text, start: self.start + skipped, tabs: self.tabs }
    }

    /// Whether it is an entry of a sequence.
    pub(super) fn is_entry(&self) -> bool {
        self.text == "-" || self.text.starts_with("- ") || self.text.starts_with("-\t")
    }

    /// The length of a bullet other than a dash, if it begins with one: `*`, `•`, `1.`
    pub(super) fn bullet(&self) -> Option<usize> {
        let digits = self.text.len() - self.text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let length = match self.text.chars().next()? {
            '*' | '+' => 1,
            '•' | '–' | '—' => self.text.chars().next()?.len_utf8(),
            _ if digits > 0 && self.text[digits..].starts_with(['.', ')']) => digits + 1,
            _ => return None,
        };
        self.text[length..].starts_with(' ').then_some(length)
    }
}

/// The lines of a document; `base` is the byte where it begins.
pub(super) fn lines(document: &str, base: usize) -> Vec<Line<'_>> {
    let mut start = base;
    document
        .split_inclusive('\n')
        .map(|line| {
            let text = line.trim_start_matches([' ', '\t', '\u{a0}']);
            let blanks = &line[..line.len() - text.len()];
            let indent =
                blanks.chars().fold(0, |column, c| if c == '\t' { (column / TAB + 1) * TAB } else { column + 1 });
            let read = Line { indent, text: text.trim_end(), start: start + blanks.len(), tabs: blanks.contains('\t') };
            start += line.len();
            read
        })
        .collect()
}

/// Splits `key: value`: the key as it is written, and where the value's text begins. A colon counts where a blank or the
/// line's end follows, outside of quotes and of a comment.
pub(super) fn split_key(text: &str) -> Option<(&str, usize)> {
    let quote = text.chars().next().filter(|quote| matches!(quote, '"' | '\''));
    if let Some(quote) = quote {
        let end = closing_quote(text, quote)?;
        let rest = &text[end..];
        let colon = rest.len() - rest.trim_start_matches(' ').len();
        let after = rest[colon..].strip_prefix(':')?;
        return (after.is_empty() || after.starts_with([' ', '\t'])).then_some((&text[..end], end + colon + 1));
    }
    if text.starts_with(['{', '[', '#', '|', '>']) || text.starts_with("- ") {
        return None;
    }
    let comment = text.find(" #").unwrap_or(text.len());
    let colon = text[..comment]
        .match_indices(':')
        .map(|(at, _)| at)
        .find(|at| text[at + 1..].is_empty() || text[at + 1..].starts_with([' ', '\t']))?;
    (colon > 0).then_some((text[..colon].trim_end(), colon + 1))
}

/// Where the text after a quoted text begins.
pub(super) fn closing_quote(text: &str, quote: char) -> Option<usize> {
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = characters.next() {
        match c {
            '\\' if quote == '"' => drop(characters.next()),
            _ if c == quote && quote == '\'' && characters.peek().is_some_and(|(_, next)| *next == '\'') => {
                characters.next();
            }
            _ if c == quote => return Some(at + quote.len_utf8()),
            _ => {}
        }
    }
    None
}
