//! Values in brackets: JSON as models write it, and YAML's flow style.

mod ahead;
mod quoted;
mod word;

use serde_json::{Map, Value};

use crate::{Kind, MAX_DEPTH, Note, Unread};

/// Whose rules hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Json,
    /// Text without quotes is as good as with.
    YamlFlow,
}

/// Where a value stands: it decides what may follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Alone,
    Key,
    Member,
    Element,
}

/// A place in a text, and what was noted on the way to it.
#[derive(Debug)]
pub(crate) struct Reader<'t> {
    text: &'t str,
    dialect: Dialect,
    pub(crate) at: usize,
    pub(crate) notes: Vec<Note>,
    /// The brackets that are open, as their closers.
    open: Vec<char>,
    /// Levels around the text that is read here.
    depth: usize,
}

impl<'t> Reader<'t> {
    pub(crate) fn new(text: &'t str, at: usize, dialect: Dialect) -> Self {
        Self { text, dialect, at, notes: Vec::new(), open: Vec::new(), depth: 0 }
    }

    /// For a value that stands so many levels deep in a document.
    pub(crate) fn at_depth(mut self, depth: usize) -> Self {
        self.depth = depth;
        self
    }

    /// The bracketed value here. None if there is no bracket.
    pub(crate) fn bracketed(&mut self) -> Result<Option<Value>, Unread> {
        match self.peek() {
            Some('{') => self.object().map(Some),
            Some('[') => self.array().map(Some),
            _ => Ok(None),
        }
    }

    /// The text in quotes here, after which nothing comes.
    pub(crate) fn alone(&mut self) -> String {
        self.quoted(Place::Alone)
    }

    /// The value here; none where the text ends before it.
    fn value(&mut self, place: Place) -> Result<Option<Value>, Unread> {
        self.skip();
        let Some(first) = self.peek() else {
            self.note(Kind::Cut);
            return Ok(None);
        };
        match first {
            '{' => self.object().map(Some),
            '[' => self.array().map(Some),
            '(' if self.dialect == Dialect::Json => self.array().map(Some),
            _ if quoted::closing(first, self.dialect).is_some() => Ok(Some(Value::String(self.joined(place)))),
            _ => Ok(Some(self.word(place))),
        }
    }

    fn object(&mut self) -> Result<Value, Unread> {
        self.enter('}')?;
        let mut members = Map::new();
        while !self.leaves('}') {
            let at = self.at;
            let Some((key, value)) = self.member()? else { continue };
            // What is cut off before its value says nothing.
            let Some(value) = value else { continue };
            if members.insert(key, value).is_some() {
                self.note_at(at, Kind::DuplicateKey);
            }
            self.comma('}');
        }
        self.open.pop();
        if self.open.is_empty() && self.closed_too_early() {
            self.go_on(&mut members)?;
        }
        Ok(Value::Object(members))
    }

    /// A key and what it stands for. None where there is no key but something that was skipped.
    #[allow(clippy::type_complexity, reason = "a pair of options says it best")]
    fn member(&mut self) -> Result<Option<(String, Option<Value>)>, Unread> {
        let Some(key) = self.key() else { return Ok(None) };
        self.skip();
        if !self.colon() {
            if self.peek().is_none() {
                self.note(Kind::Cut);
                return Ok(Some((key, None)));
            }
            if self.dialect == Dialect::Json {
                self.note(Kind::MissingValue);
            }
            return Ok(Some((key, Some(Value::Null))));
        }
        self.skip();
        if matches!(self.peek(), Some(',' | '}')) {
            if self.dialect == Dialect::Json {
                self.note(Kind::MissingValue);
            }
            return Ok(Some((key, Some(Value::Null))));
        }
        Ok(Some((key, self.value(Place::Member)?)))
    }

    fn array(&mut self) -> Result<Value, Unread> {
        let round = self.peek() == Some('(');
        let closer = if round { ')' } else { ']' };
        if round {
            self.note(Kind::Tuple);
        }
        self.enter(closer)?;
        let mut elements = Vec::new();
        while !self.leaves(closer) {
            let at = self.at;
            let Some(value) = self.value(Place::Element)? else { continue };
            let value = self.single_pair(at, value)?;
            elements.push(value);
            self.comma(closer);
        }
        self.open.pop();
        Ok(Value::Array(elements))
    }

    /// `[a: b]` is a list of one mapping in YAML.
    fn single_pair(&mut self, at: usize, first: Value) -> Result<Value, Unread> {
        self.skip_blanks();
        if self.dialect == Dialect::Json || self.peek() != Some(':') || first.is_object() || first.is_array() {
            return Ok(first);
        }
        let key = self.text[at..self.at].trim();
        let key = first.as_str().map_or_else(|| key.to_owned(), str::to_owned);
        self.bump();
        self.skip();
        let value = if matches!(self.peek(), Some(',' | ']')) { None } else { self.value(Place::Element)? };
        Ok(Value::Object(Map::from_iter([(key, value.unwrap_or(Value::Null))])))
    }

    fn enter(&mut self, closer: char) -> Result<(), Unread> {
        if self.depth + self.open.len() >= MAX_DEPTH {
            return Err(Unread::TooDeep { at: self.at });
        }
        self.open.push(closer);
        self.bump();
        Ok(())
    }

    /// Whether what is open ends here, as it should or not; goes over what belongs to no member.
    fn leaves(&mut self, closer: char) -> bool {
        loop {
            self.skip();
            match self.peek() {
                None => {
                    self.note(Kind::Cut);
                    return true;
                }
                Some(here) if here == closer => {
                    self.bump();
                    return true;
                }
                Some(here @ ('}' | ']' | ')')) => {
                    if self.open.contains(&here) {
                        self.note(Kind::MissingCloser);
                    } else {
                        self.note(Kind::WrongCloser);
                        self.bump();
                    }
                    return true;
                }
                Some(',') => {
                    self.note(Kind::ExtraComma);
                    self.bump();
                }
                _ if self.rest().starts_with("...") || self.rest().starts_with('…') => {
                    self.note(Kind::Elided);
                    self.at += 3;
                }
                Some(_) => return false,
            }
        }
    }

    /// What stands between two members.
    fn comma(&mut self, closer: char) {
        self.skip();
        match self.peek() {
            Some(',') => {
                let at = self.at;
                self.bump();
                self.skip();
                if self.peek() == Some(closer) && self.dialect == Dialect::Json {
                    self.note_at(at, Kind::ExtraComma);
                }
            }
            None | Some('}' | ']' | ')') => {}
            Some(_) => self.note(Kind::MissingComma),
        }
    }

    fn colon(&mut self) -> bool {
        for (sign, note) in [(":", None), ("=>", Some(Kind::OtherSeparator)), ("=", Some(Kind::OtherSeparator))] {
            if self.rest().starts_with(sign) {
                if let Some(kind) = note {
                    self.note(kind);
                }
                self.at += sign.len();
                return true;
            }
        }
        false
    }

    /// Members that follow the outermost bracket's closer: there was one closer too many before.
    fn go_on(&mut self, members: &mut Map<String, Value>) -> Result<(), Unread> {
        self.note(Kind::WrongCloser);
        self.open.push('}');
        self.skip();
        self.bump();
        while !self.leaves('}') {
            let Some((key, value)) = self.member()? else { continue };
            if let Some(value) = value {
                members.insert(key, value);
            }
            self.comma('}');
        }
        self.open.pop();
        Ok(())
    }

    /// Goes over white space and comments.
    fn skip(&mut self) {
        loop {
            self.skip_blanks();
            let rest = self.rest();
            let length = if rest.starts_with("//") && self.dialect == Dialect::Json || rest.starts_with('#') {
                rest.find('\n').unwrap_or(rest.len())
            } else if rest.starts_with("/*") {
                rest.find("*/").map_or(rest.len(), |end| end + 2)
            } else {
                return;
            };
            if self.dialect == Dialect::Json {
                self.note(Kind::Comment);
            }
            self.at += length;
        }
    }

    fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}').len();
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) {
        self.at += self.peek().map_or(0, char::len_utf8);
    }

    fn note(&mut self, kind: Kind) {
        self.note_at(self.at, kind);
    }

    fn note_at(&mut self, at: usize, kind: Kind) {
        self.notes.push(Note { at, kind });
    }
}
