//! Keys, and values without quotes.

use serde_json::Value;

use super::{Dialect, Place, Reader, ahead::is_quoted_key, quoted};
use crate::{
    Kind,
    scalar::{core_schema, json_word},
};

impl Reader<'_> {
    /// The key here, in quotes or not. None where there is nothing that could be one; that was skipped.
    pub(super) fn key(&mut self) -> Option<String> {
        let first = self.peek()?;
        if quoted::closing(first, self.dialect).is_some() {
            return Some(self.quoted(Place::Key));
        }
        let rest = self.rest();
        let yaml_colon = |at: usize| {
            self.dialect == Dialect::Json || rest[at + 1..].starts_with([' ', '\n', '\t', ',', '}', '"', '[', '{'])
        };
        let end = rest
            .char_indices()
            .find(|(at, c)| match c {
                ':' => yaml_colon(*at),
                '=' => self.dialect == Dialect::Json,
                ',' | '}' | ']' | '\n' => true,
                _ => false,
            })
            .map_or(rest.len(), |(at, _)| at);
        let key = rest[..end].trim_end();
        if key.is_empty() {
            // A colon without a key, or a line break.
            self.note(Kind::WrongCloser);
            self.bump();
            return None;
        }
        if self.dialect == Dialect::Json {
            self.note(Kind::BareKey);
        }
        self.at += end;
        Some(key.to_owned())
    }

    /// A value without quotes.
    pub(super) fn word(&mut self, place: Place) -> Value {
        let end = self.word_end(place);
        let word = self.rest()[..end].trim();
        let at = self.at;
        self.at += end;
        if end == 0 {
            self.bump();
        }
        if self.dialect == Dialect::YamlFlow {
            return core_schema(&word.split_whitespace().collect::<Vec<_>>().join(" "));
        }
        let cut = self.at == self.text.len();
        let (value, kind) = json_word(if cut { completed(word) } else { word });
        if let Some(kind) = kind {
            self.note_at(at, kind);
        }
        value
    }

    /// Where a value without quotes ends, from here.
    fn word_end(&self, place: Place) -> usize {
        let rest = self.rest();
        let json = self.dialect == Dialect::Json;
        // Brackets of the value itself: `new Date(2024, 1)`.
        let mut own = Vec::new();
        let mut before = ' ';
        for (at, c) in rest.char_indices() {
            match c {
                '\n' if json => return at,
                '(' if json => own.push(')'),
                ')' if own.last() == Some(&')') => drop(own.pop()),
                ')' if self.open.last() == Some(&')') => return at,
                ',' | '}' | ']' if own.is_empty() => return at,
                ':' if !json && place == Place::Element && rest[at + 1..].starts_with([' ', '\n']) => return at,
                '#' if before.is_whitespace() => return at,
                '/' if json && before.is_whitespace() && rest[at..].starts_with("//") => return at,
                '"' if json && before.is_whitespace() && is_quoted_key(&rest[at..]) => return at,
                _ => {}
            }
            before = c;
        }
        rest.len()
    }
}

/// A literal that the text's end has cut.
fn completed(word: &str) -> &str {
    ["true", "false", "null"].into_iter().find(|literal| !word.is_empty() && literal.starts_with(word)).unwrap_or(word)
}
