//! Reads YAML.

mod block;
mod lines;
mod prose;
mod strict;
mod text;

use serde_json::Value;

use crate::flow::{Dialect, Reader};
use crate::{Kind, MAX_BYTES, Note, Read, Unread, document::fenced};
use block::Blocks;
pub use strict::strict;

/// Reads the YAML document in a model's text: a mapping or a list. The first is read where there are several.
///
/// # Errors
/// If there is no document, or it is beyond a limit.
pub fn yaml(text: &str) -> Result<Read, Unread> {
    read(text, true)
}

/// [`yaml()`] without a strict parser before it.
///
/// # Errors
/// As [`yaml()`].
pub fn tolerant(text: &str) -> Result<Read, Unread> {
    read(text, false)
}

fn read(text: &str, by_the_book: bool) -> Result<Read, Unread> {
    if text.len() > MAX_BYTES {
        return Err(Unread::TooLong);
    }
    let blocks = fenced(text);
    let labelled = |yaml: bool| blocks.iter().filter(move |block| block.label.starts_with('y') == yaml);
    for block in labelled(true).chain(labelled(false)) {
        let Some(mut read) = document(&text[..block.content.end], block.content.start, by_the_book)? else { continue };
        let mut note = |at, kind| read.notes.push(Note { at, kind });
        note(block.whole.start, Kind::Fence);
        if !text[..block.whole.start].trim().is_empty() {
            note(0, Kind::ProseBefore);
        }
        let rest = &text[block.whole.end..];
        if !rest.trim().is_empty() {
            let more = blocks.iter().any(|other| other.whole.start >= block.whole.end && other.label == block.label);
            note(block.whole.end, if more { Kind::MoreFollows } else { Kind::ProseAfter });
        }
        return Ok(Read::new(read.value, read.notes));
    }
    let range = prose::without(text);
    let mut read = document(&text[..range.end], range.start, by_the_book)?.ok_or(Unread::Nothing)?;
    for (outside, at, kind) in
        [(&text[..range.start], 0, Kind::ProseBefore), (&text[range.end..], range.end, Kind::ProseAfter)]
    {
        if !outside.trim().is_empty() {
            read.notes.push(Note { at, kind });
        }
    }
    Ok(Read::new(read.value, read.notes))
}

/// The document that begins at `from` and goes to the end of `text`. None if there is only text.
fn document(text: &str, from: usize, by_the_book: bool) -> Result<Option<Read>, Unread> {
    let is_collection = |value: &Value| value.is_object() || value.is_array();
    if by_the_book && let Some((value, more)) = strict(&text[from..]).filter(|(value, _)| is_collection(value)) {
        let notes = more.then_some(Note { at: from, kind: Kind::MoreFollows });
        return Ok(Some(Read::new(value, notes.into_iter().collect())));
    }
    if let Some(read) = assigned(text, from)? {
        return Ok(Some(read));
    }
    let (value, notes) = Blocks::new(text, from).document()?;
    Ok(value.filter(is_collection).map(|value| Read::new(value, notes)))
}

/// What a program's text assigns first, where it is brackets over several lines: `names = [`. None where a line before it is
/// none of a program's.
fn assigned(text: &str, from: usize) -> Result<Option<Read>, Unread> {
    let mut start = from;
    for line in text[from..].split_inclusive('\n') {
        let (code, end) = (line.trim(), start + line.trim_end().len());
        start += line.len();
        if code.is_empty() || code.starts_with('#') {
            continue;
        }
        let Some(value) = assigns(code) else { return Ok(None) };
        if matches!(value, "[" | "{") {
            let mut reader = Reader::new(text, end - 1, Dialect::YamlFlow);
            let value = reader.bracketed()?;
            let mut notes = reader.notes;
            notes.push(Note { at: end - 1, kind: Kind::WithinLine });
            if !text[reader.at..].trim().is_empty() {
                notes.push(Note { at: reader.at, kind: Kind::ProseAfter });
            }
            return Ok(value.map(|value| Read::new(value, notes)));
        }
    }
    Ok(None)
}

/// What a line of a program gives a name: `name = value`.
fn assigns(code: &str) -> Option<&str> {
    let (name, value) = code.split_once('=')?;
    let name = name.trim();
    (!name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_')).then(|| value.trim())
}
