//! What a model says before and after a document that is in no fence.

use std::ops::Range;

use super::lines::{Line, lines, split_key};

/// The bytes of a text that look like its document.
pub(super) fn without(text: &str) -> Range<usize> {
    let lines = lines(text, 0);
    let first = (0..lines.len()).find(|at| begins(&lines, *at)).unwrap_or(0);
    let start = lines.get(first).map_or(0, |line| text[..line.start].rfind('\n').map_or(0, |at| at + 1));
    let end = closing_fence(&lines[first..]).or_else(|| last_words(&lines[first..])).unwrap_or(text.len());
    start..end.max(start)
}

/// Whether a document begins with this line.
fn begins(lines: &[Line<'_>], at: usize) -> bool {
    let line = &lines[at];
    if line.text == "---"
        || line.is_entry()
        || line.is_comment() && !line.text.starts_with("##")
        || line.text.starts_with(['{', '['])
        || matches!(super::assigns(line.text), Some("[" | "{"))
    {
        return true;
    }
    let Some((key, value)) = split_key(line.text) else { return false };
    // "Here is the document you asked for:" is followed by an empty line, and by nothing that it could be the key of.
    let announces = line.text[value..].trim().is_empty() && key.split_whitespace().count() > 2;
    let next = lines[at + 1..].iter().find(|next| !next.is_blank());
    let has_content =
        next.is_some_and(|next| next.indent > line.indent || next.is_entry() && lines[at + 1].start == next.start);
    key.split_whitespace().count() < 7 && (!announces || has_content)
}

/// Where a closing fence stands that nothing opened.
fn closing_fence(lines: &[Line<'_>]) -> Option<usize> {
    lines.iter().find(|line| line.indent == 0 && line.text.starts_with("```")).map(|line| line.start)
}

/// Where sentences begin that end the text: after an empty line, not indented, and neither keys nor entries.
fn last_words(lines: &[Line<'_>]) -> Option<usize> {
    let is_prose = |line: &Line<'_>| {
        line.is_blank()
            || line.indent == 0
                && split_key(line.text).is_none()
                && !line.is_entry()
                && !line.text.starts_with(['}', ']', '{', '[', '#', '-', '.'])
    };
    let kept = lines.iter().rposition(|line| !is_prose(line))?;
    let rest = &lines[kept + 1..];
    let blank = rest.iter().position(Line::is_blank)?;
    rest[blank..].iter().find(|line| !line.is_blank()).map(|line| line.start)
}
