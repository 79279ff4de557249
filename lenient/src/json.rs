//! Reads JSON.

use serde_json::Value;

use crate::{
    Kind, MAX_BYTES, Note, Read, Unread,
    document::fenced,
    flow::{Dialect, Reader},
};

/// How many places of a text are tried as the beginning of a document.
const TRIES: usize = 32;

/// Reads the JSON document in a model's text: an object or a list, or a text that is JSON as a whole.
///
/// # Errors
/// If there is no document, or it is beyond a limit.
pub fn json(text: &str) -> Result<Read, Unread> {
    if text.len() > MAX_BYTES {
        return Err(Unread::TooLong);
    }
    match serde_json::from_str(text) {
        Ok(value) => Ok(Read::new(value, Vec::new())),
        Err(_) => tolerant(text),
    }
}

/// [`json()`] without a strict parser before it.
///
/// # Errors
/// As [`json()`].
pub fn tolerant(text: &str) -> Result<Read, Unread> {
    let blocks = fenced(text);
    let labelled = |json: bool| blocks.iter().filter(move |block| block.label.starts_with("js") == json);
    for block in labelled(true).chain(labelled(false)) {
        if let Some(mut read) = first(&text[..block.content.end], block.content.start)? {
            read.note(block.whole.start, Kind::Fence);
            read.around(text, block.whole.start, block.whole.end);
            return Ok(read.finish());
        }
    }
    let mut read = first(text, 0)?.ok_or(Unread::Nothing)?;
    read.around(text, read.start, read.end);
    Ok(read.finish())
}

/// A document and where it stands.
struct Found {
    value: Value,
    notes: Vec<Note>,
    start: usize,
    end: usize,
}

impl Found {
    fn note(&mut self, at: usize, kind: Kind) {
        self.notes.push(Note { at, kind });
    }

    /// Notes what else the text has before `start` and after `end`.
    fn around(&mut self, text: &str, start: usize, end: usize) {
        if !text[..start].trim().is_empty() {
            self.note(0, Kind::ProseBefore);
        }
        let rest = text[end..].trim_start();
        if rest.is_empty() {
            return;
        }
        let at = text.len() - rest.len();
        let another = rest.starts_with(['{', '['])
            || fenced(rest).iter().any(|block| rest[block.content.clone()].trim_start().starts_with(['{', '[']));
        let kind = match another {
            true => Kind::MoreFollows,
            false if rest.starts_with(['}', ']']) => Kind::WrongCloser,
            false => Kind::ProseAfter,
        };
        self.note(at, kind);
    }

    fn finish(self) -> Read {
        Read::new(self.value, self.notes)
    }

    /// Whether it was repaired in a way that only holds where there is a document at all.
    fn is_reshaped(&self) -> bool {
        self.notes.iter().any(|note| {
            matches!(
                note.kind,
                Kind::InnerQuote | Kind::RawControl | Kind::MissingComma | Kind::OtherSeparator | Kind::BareText
            )
        })
    }

    /// Whether it is right as far as it goes.
    fn is_just_cut(&self) -> bool {
        self.notes.iter().all(|note| note.kind == Kind::Cut)
    }

    /// Whether nothing in the brackets was said.
    fn is_empty(&self) -> bool {
        let missing = self.notes.iter().filter(|note| note.kind == Kind::MissingValue).count();
        match &self.value {
            Value::Object(members) => members.len() <= missing,
            Value::Array(elements) => elements.is_empty(),
            _ => true,
        }
    }

    /// Whether this is a document rather than brackets in a sentence.
    fn is_plausible(&self) -> bool {
        match &self.value {
            Value::Array(elements) => {
                elements.len() > 1 || elements.iter().any(|element| element.is_object() || element.is_array())
            }
            _ => !self.is_empty(),
        }
    }
}

/// The first document from a place on; failing that, the first brackets that are JSON by the book.
fn first(text: &str, from: usize) -> Result<Option<Found>, Unread> {
    let mut spare = None;
    let mut at = from;
    for _ in 0..TRIES {
        let Some(start) = text[at..].find(['{', '[']).map(|offset| at + offset) else { break };
        let mut reader = Reader::new(text, start, Dialect::Json);
        let Some(value) = reader.bracketed()? else { break };
        let mut found = Found { value, notes: reader.notes, start, end: reader.at };
        let before = &text[from..start];
        let opens_line = before.rsplit('\n').next().is_none_or(|line| line.trim().is_empty());
        // An object may go wrong, or be cut off, in its first member.
        let begins = text[start..].starts_with('{') && text[start + 1..].trim_start().starts_with('"');
        let alone = before.trim().is_empty() && (begins || !found.is_empty());
        if alone || found.is_plausible() || begins && opens_line && found.is_just_cut() {
            if !opens_line && found.is_reshaped() {
                found.note(start, Kind::WithinLine);
            }
            return Ok(Some(found));
        }
        if spare.is_none() && found.notes.is_empty() {
            spare = Some(found);
        }
        at = start + 1;
    }
    Ok(spare)
}
