//! Looks at what follows, to tell what a quote or a bracket means here. No look goes further than [`FAR`].

use super::{Dialect, Place, Reader, quoted};

/// How far a look goes, in bytes.
const FAR: usize = 400;

impl Reader<'_> {
    /// Whether a quote that ends at `end` closes the text that it stands in: what follows fits the place.
    pub(super) fn closes(&self, end: usize, place: Place) -> bool {
        let rest = near(&self.text[end..]);
        let line = rest.trim_start_matches([' ', '\t']);
        if line.is_empty() || line.starts_with(['\n', '\r']) && place != Place::Key {
            return true;
        }
        let next = rest.trim_start();
        match (next.chars().next(), place) {
            (None, _) | (_, Place::Alone) => true,
            (Some('#'), _) => true,
            (Some('/'), _) => next.starts_with("//") || next.starts_with("/*"),
            (Some(':' | '=' | ',' | '}'), Place::Key) => true,
            (_, Place::Key) => false,
            (Some('}' | ']' | ')'), _) => next.starts_with(|c| self.open.contains(&c)),
            (Some(','), Place::Member) => member_or_end(&next[1..]),
            (Some(','), Place::Element) => element_or_end(&next[1..]),
            (Some('+'), _) => next[1..].trim_start().starts_with(['"', '\'']),
            (Some(_), Place::Member) => is_quoted_key(next),
            (Some(':'), Place::Element) => self.dialect == Dialect::YamlFlow,
            (Some(c), Place::Element) => matches!(c, '"' | '{' | '['),
        }
    }

    /// Whether the outermost object, which was just closed, goes on: `}, "key": …`
    pub(super) fn closed_too_early(&self) -> bool {
        let next = near(self.rest()).trim_start();
        self.dialect == Dialect::Json && next.strip_prefix(',').is_some_and(|rest| is_quoted_key(rest.trim_start()))
    }

    /// Whether the line at `at` (after a line break in a quoted text) is the next member or a closing bracket, so that the
    /// text's own closing quote must be missing.
    pub(super) fn next_member_at(&self, at: usize) -> bool {
        let rest = near(&self.text[at..]);
        is_quoted_key(rest.trim_start())
    }
}

/// The beginning of a text.
fn near(text: &str) -> &str {
    let mut end = text.len().min(FAR);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// What may come after a member's comma: another member, the end, a comment, or nothing any more.
fn member_or_end(rest: &str) -> bool {
    let line = rest.trim_start_matches([' ', '\t']);
    let next = rest.trim_start();
    line.is_empty()
        || line.starts_with(['\n', '\r'])
        || next.starts_with(['}', '#'])
        || next.starts_with("//")
        || is_quoted_key(next)
        || is_bare_key(next)
}

fn element_or_end(rest: &str) -> bool {
    let line = rest.trim_start_matches([' ', '\t']);
    let next = rest.trim_start();
    let literals = ["true", "false", "null", "None", "True", "False", "...", "//"];
    line.is_empty()
        || line.starts_with(['\n', '\r'])
        || next.starts_with(|c: char| matches!(c, '"' | '\'' | '{' | '[' | '(' | ']' | '-' | '#') || c.is_ascii_digit())
        || literals.iter().any(|literal| next.starts_with(literal))
}

/// `"key":`
pub(super) fn is_quoted_key(text: &str) -> bool {
    let Some(quote) = text.chars().next().filter(|quote| matches!(quote, '"' | '\'' | '“')) else { return false };
    let inner = &text[quote.len_utf8()..];
    let Some(closing) = quoted::closing(quote, Dialect::Json) else { return false };
    let Some(end) = inner.find(closing) else { return false };
    let key = &inner[..end];
    !key.contains('\n') && inner[end + closing.len_utf8()..].trim_start_matches([' ', '\t']).starts_with(':')
}

/// `key:`
fn is_bare_key(text: &str) -> bool {
    let end = text.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '$' | '.'))).unwrap_or(text.len());
    end > 0 && text[end..].trim_start_matches([' ', '\t']).starts_with(':')
}
