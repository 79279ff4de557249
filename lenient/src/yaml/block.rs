//! YAML's block style: mappings and sequences by indentation.

use serde_json::{Map, Value};

use super::lines::{Line, closing_quote, lines, split_key};
use crate::{Kind, MAX_DEPTH, Note, Unread};

/// A document as lines, of which those before `at` are read.
pub(super) struct Blocks<'t> {
    /// The whole text up to the document's end.
    pub(super) text: &'t str,
    pub(super) lines: Vec<Line<'t>>,
    pub(super) at: usize,
    pub(super) notes: Vec<Note>,
    pub(super) depth: usize,
}

impl<'t> Blocks<'t> {
    pub(super) fn new(text: &'t str, from: usize) -> Self {
        Self { text, lines: lines(&text[from..], from), at: 0, notes: Vec::new(), depth: 0 }
    }

    /// The first document, and what was noted.
    pub(super) fn document(mut self) -> Result<(Option<Value>, Vec<Note>), Unread> {
        while self.next().is_some_and(|line| line.text.starts_with("---") || line.text.starts_with('%')) {
            let line = self.lines[self.at];
            match line.text.strip_prefix("---").map(str::trim).filter(|rest| !rest.is_empty() && !rest.starts_with('#'))
            {
                Some(_) => self.lines[self.at] = line.rest(3),
                None => self.at += 1,
            }
        }
        let value = self.node(None)?;
        if let Some(line) = self.next() {
            let ends = line.text.starts_with("---") || line.text == "...";
            let more = ends && self.lines[self.at + 1..].iter().any(|line| !line.is_blank() && !line.is_comment());
            if !ends || more {
                self.note(line.start, if ends { Kind::MoreFollows } else { Kind::ProseAfter });
            }
        }
        Ok((value, self.notes))
    }

    /// The next line that says something.
    pub(super) fn next(&mut self) -> Option<Line<'t>> {
        while self.lines.get(self.at).is_some_and(|line| line.is_blank() || line.is_comment()) {
            self.at += 1;
        }
        let line = self.lines.get(self.at).copied()?;
        if line.tabs {
            self.note(line.start, Kind::Tab);
        }
        Some(line)
    }

    /// Whether the document ends at this line.
    fn ends(line: Line<'_>) -> bool {
        line.indent == 0 && (line.text == "---" || line.text == "..." || line.text.starts_with("--- "))
    }

    /// What stands deeper than `parent`, whatever it is.
    pub(super) fn node(&mut self, parent: Option<usize>) -> Result<Option<Value>, Unread> {
        let Some(line) =
            self.next().filter(|line| parent.is_none_or(|parent| line.indent > parent) && !Self::ends(*line))
        else {
            return Ok(None);
        };
        if self.depth >= MAX_DEPTH {
            return Err(Unread::TooDeep { at: line.start });
        }
        self.depth += 1;
        let value = if line.is_entry() {
            self.sequence(parent, line.indent, false)?
        } else if split_key(line.text).is_some() {
            self.mapping(parent, line.indent)?
        } else if self.is_bulleted(line) {
            self.bullets(line.indent)?
        } else {
            self.scalar(line, parent)?
        };
        self.depth -= 1;
        Ok(Some(value))
    }

    /// A level's next line: at its indentation, or at one between it and its parent's, which is no level's.
    fn level(&mut self, parent: Option<usize>, indent: usize) -> Option<Line<'t>> {
        let line = self.next().filter(|line| !Self::ends(*line))?;
        if line.indent == indent {
            return Some(line);
        }
        let between = parent.is_none_or(|parent| line.indent > parent);
        if between {
            self.note(line.start, Kind::Indentation);
        }
        between.then_some(line)
    }

    /// `under_key`: as deep as the key that it belongs to, so that the next key ends it.
    fn sequence(&mut self, parent: Option<usize>, indent: usize, under_key: bool) -> Result<Value, Unread> {
        let mut elements = Vec::new();
        while let Some(line) = self.level(parent, indent) {
            if !line.is_entry() {
                if line.indent == indent && under_key {
                    break;
                }
                self.stray(line, elements.last_mut());
                continue;
            }
            elements.push(self.entry(line)?);
        }
        Ok(Value::Array(elements))
    }

    /// What comes after a dash.
    fn entry(&mut self, line: Line<'t>) -> Result<Value, Unread> {
        let rest = line.rest(1);
        if rest.is_blank() || rest.is_comment() {
            self.at += 1;
        } else {
            self.lines[self.at] = rest;
            if let Some(value) = self.block_text(rest.text, line.indent, line.start) {
                return Ok(value);
            }
        }
        Ok(self.node(Some(line.indent))?.unwrap_or(Value::Null))
    }

    fn mapping(&mut self, parent: Option<usize>, indent: usize) -> Result<Value, Unread> {
        let mut members: Map<String, Value> = Map::new();
        while let Some(line) = self.level(parent, indent) {
            let split = split_key(line.text).map(|(key, value)| (key, value, false)).or_else(|| tight_key(line.text));
            let Some((key, value, tight)) = split.filter(|_| !line.is_entry()) else {
                if parent.is_none() && self.is_after_blank() {
                    // Text after an empty line is not the document's any more.
                    break;
                }
                self.stray(line, members.values_mut().next_back());
                continue;
            };
            if tight {
                self.note(line.start, Kind::MissingSpace);
            }
            let key = self.key(key, line.start);
            let value = self.member(line, value, line.indent.min(indent))?;
            if members.insert(key, value).is_some() {
                self.note(line.start, Kind::DuplicateKey);
            }
        }
        Ok(Value::Object(members))
    }

    fn key(&mut self, key: &'t str, start: usize) -> String {
        match key
            .chars()
            .next()
            .filter(|quote| matches!(quote, '"' | '\'') && closing_quote(key, *quote) == Some(key.len()))
        {
            Some(_) => self.quoted_word(key, start),
            None => {
                if key.starts_with(['*', '&', '!', '@', '`', '%']) {
                    self.note(start, Kind::BareKey);
                }
                key.to_owned()
            }
        }
    }

    /// What a key stands for; its text begins at byte `from` of the line.
    fn member(&mut self, line: Line<'t>, from: usize, indent: usize) -> Result<Value, Unread> {
        let rest = line.rest(from);
        if !rest.is_blank() && !rest.is_comment() {
            if let Some(value) = self.block_text(rest.text, indent, rest.start) {
                return Ok(value);
            }
            self.lines[self.at] = rest;
            return self.scalar(rest, Some(indent));
        }
        self.at += 1;
        let same_level = self.next().filter(|next| next.indent == indent && !Self::ends(*next));
        match same_level {
            Some(next) if next.is_entry() => self.sequence(indent.checked_sub(1), indent, true),
            _ => Ok(self.node(Some(indent))?.unwrap_or(Value::Null)),
        }
    }

    /// A line that belongs to nothing is taken for more of the text before it.
    fn stray(&mut self, line: Line<'t>, before: Option<&mut Value>) {
        self.note(line.start, Kind::StrayLine);
        self.at += 1;
        if let Some(Value::String(text)) = before {
            text.push(' ');
            text.push_str(line.text);
        }
    }

    fn is_after_blank(&self) -> bool {
        self.at > 0 && self.lines[self.at - 1].is_blank()
    }

    /// Whether bullets of another kind than YAML's begin here: one alone may be a text that begins with a star or a number.
    fn is_bulleted(&self, line: Line<'_>) -> bool {
        let more = self.lines[self.at + 1..].iter().find(|next| !next.is_blank() && next.indent <= line.indent);
        line.bullet().is_some() && more.is_some_and(|next| next.indent == line.indent && next.bullet().is_some())
    }

    fn bullets(&mut self, indent: usize) -> Result<Value, Unread> {
        let mut elements = Vec::new();
        while let Some(line) = self.next().filter(|line| line.indent == indent) {
            let Some(length) = line.bullet() else { break };
            self.note(line.start, Kind::OtherBullet);
            self.lines[self.at] = line.rest(length);
            elements.push(self.node(Some(indent))?.unwrap_or(Value::Null));
        }
        Ok(Value::Array(elements))
    }

    pub(super) fn note(&mut self, at: usize, kind: Kind) {
        self.notes.push(Note { at, kind });
    }
}

/// `key:value`, where only keys can stand.
fn tight_key(text: &str) -> Option<(&str, usize, bool)> {
    let (key, value) = text.split_once(':')?;
    let is_word = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
    (is_word && !key.starts_with('-') && !value.starts_with("//") && !value.starts_with(':')).then_some((
        key,
        key.len() + 1,
        true,
    ))
}
