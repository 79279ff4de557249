//! Values that are texts: plain, in quotes, in blocks; and values in brackets.

use serde_json::Value;

use super::{
    block::Blocks,
    lines::{Line, closing_quote, split_key},
};
use crate::{
    Kind, Unread,
    flow::{Dialect, Reader},
    scalar::core_schema,
};

impl<'t> Blocks<'t> {
    /// The value that begins in this line, which is the current one, and may go on in lines deeper than `parent`.
    pub(super) fn scalar(&mut self, line: Line<'t>, parent: Option<usize>) -> Result<Value, Unread> {
        if line.text.starts_with(['{', '['])
            && let Some(value) = self.bracketed(line)?
        {
            return Ok(value);
        }
        if line.text.starts_with(['"', '\''])
            && let Some(text) = self.quoted(line, parent)
        {
            return Ok(Value::String(text));
        }
        Ok(self.plain(line, parent))
    }

    /// A value in brackets; none if something follows it, which makes it a text that begins with a bracket.
    fn bracketed(&mut self, line: Line<'t>) -> Result<Option<Value>, Unread> {
        let mut reader = Reader::new(self.text, line.start, Dialect::YamlFlow).at_depth(self.depth);
        let Some(value) = reader.bracketed()? else { return Ok(None) };
        let line_end = self.text[reader.at..].find('\n').map_or(self.text.len(), |end| reader.at + end);
        let rest = self.text[reader.at..line_end].trim();
        if !rest.is_empty() && !rest.starts_with('#') {
            return Ok(None);
        }
        self.notes.append(&mut reader.notes);
        self.go_to(line_end);
        Ok(Some(value))
    }

    /// Everything up to a byte is read.
    fn go_to(&mut self, byte: usize) {
        while self.lines.get(self.at).is_some_and(|line| line.start < byte.max(1)) {
            self.at += 1;
        }
    }

    /// A text in quotes, over as many lines as are deeper than `parent`. None if the quotes are only part of a text.
    fn quoted(&mut self, line: Line<'t>, parent: Option<usize>) -> Option<String> {
        let quote = if line.text.starts_with('"') { '"' } else { '\'' };
        let block = self.deeper(line, parent);
        let Some(length) = closing_quote(block, quote) else { return self.unclosed(line, quote) };
        let line_end = block[length..].find('\n').map_or(block.len(), |end| length + end);
        let rest = block[length..line_end].trim();
        if rest.is_empty() || rest.starts_with('#') {
            let text = self.quoted_word(&block[..length], line.start);
            self.go_to(line.start + line_end);
            return Some(text);
        }
        let last = line.text.rfind(quote)?;
        if last + quote.len_utf8() == line.text.len() && last > 0 {
            self.note(line.start, Kind::InnerQuote);
            self.at += 1;
            return Some(unescaped(&line.text[1..last], quote));
        }
        None
    }

    /// A text whose closing quote is nowhere: cut off if nothing follows, else it ends with its line.
    fn unclosed(&mut self, line: Line<'t>, quote: char) -> Option<String> {
        self.at += 1;
        let kind = if self.lines[self.at..].iter().all(Line::is_blank) { Kind::Cut } else { Kind::MissingQuote };
        self.note(line.start, kind);
        Some(unescaped(&line.text[1..], quote))
    }

    /// The text from this line on, with the lines after it that are deeper than `parent`.
    fn deeper(&self, line: Line<'t>, parent: Option<usize>) -> &'t str {
        let outside = self.lines[self.at + 1..]
            .iter()
            .find(|next| !next.is_blank() && parent.is_some_and(|parent| next.indent <= parent));
        let end = outside.map_or(self.text.len(), |next| next.start);
        self.text[line.start..end].trim_end()
    }

    pub(super) fn quoted_word(&mut self, text: &str, start: usize) -> String {
        let mut reader = Reader::new(text, 0, Dialect::YamlFlow);
        let word = reader.alone();
        for note in reader.notes {
            self.note(start + note.at, note.kind);
        }
        word
    }

    /// A text without quotes. Lines deeper than `parent` that follow are part of it, folded.
    fn plain(&mut self, line: Line<'t>, parent: Option<usize>) -> Value {
        let mut text = self.plain_line(line, true).to_owned();
        let commented = text.len() < line.text.len();
        self.at += 1;
        let mut breaks = 0;
        while let Some(next) = self.lines.get(self.at).copied().filter(|_| !commented) {
            if next.is_blank() {
                breaks += 1;
                self.at += 1;
                continue;
            }
            if parent.is_none_or(|parent| next.indent <= parent) || next.is_comment() {
                break;
            }
            if split_key(next.text).is_some() {
                self.note(next.start, Kind::StrayLine);
            }
            text.extend(std::iter::repeat_n(if breaks == 0 { ' ' } else { '\n' }, breaks.max(1)));
            text.push_str(self.plain_line(next, false));
            breaks = 0;
            self.at += 1;
        }
        core_schema(&text)
    }

    /// One line of a text without quotes, without the comment at its end; says what it should have had quotes for.
    fn plain_line(&mut self, line: Line<'t>, first: bool) -> &'t str {
        let end = line.text.find(" #").or_else(|| line.text.find("\t#")).unwrap_or(line.text.len());
        let text = line.text[..end].trim_end();
        if first && text.starts_with(['&', '*', '!']) && !text.starts_with("**") {
            self.note(line.start, Kind::Reference);
        } else if first
            && (text.contains(": ")
                || text.ends_with(':')
                || text.starts_with(['@', '`', '%', '*', '"', '\'', '{', '[', ']', '}', ',', '|', '>']))
        {
            self.note(line.start, Kind::BareText);
        }
        text
    }

    /// A block of text, if `header` (what stands after a key or a dash at `indent`) begins one: `|`, `>-`, …
    pub(super) fn block_text(&mut self, header: &str, indent: usize, start: usize) -> Option<Value> {
        let style = header.chars().next().filter(|style| matches!(style, '|' | '>'))?;
        let indicators = header[1..].split(" #").next().unwrap_or_default().trim();
        if indicators.len() > 2 || !indicators.chars().all(|c| matches!(c, '+' | '-' | '1'..='9')) {
            return None;
        }
        let given = indicators.chars().find_map(|c| c.to_digit(10)).map(|columns| indent + columns as usize);
        self.at += 1;
        let lines = self.block_lines(indent, start);
        let first = lines.iter().find(|line| !line.is_blank()).map_or(0, |line| line.indent);
        let content = self.block_content(&lines, given.unwrap_or(first));
        let text = if style == '>' { folded(&content) } else { content.join("\n") };
        Some(Value::String(chomped(&text, &content, indicators)))
    }

    /// The lines of a block of text: those deeper than `indent`, or, where none is, those up to the next key.
    fn block_lines(&mut self, indent: usize, start: usize) -> Vec<Line<'t>> {
        let begin = self.at;
        let root = self.depth <= 1 && indent == 0;
        let unindented = self.lines[begin..].iter().find(|line| !line.is_blank()).is_some_and(|line| {
            line.indent <= indent
                && split_key(line.text).is_none()
                && !line.is_entry()
                && !line.is_comment()
                && root
                && line.text != "---"
        });
        if unindented {
            self.note(start, Kind::Unindented);
        }
        let outside = |line: &Line<'_>| {
            let new = !unindented || split_key(line.text).is_some() || line.text == "---";
            !line.is_blank() && line.indent <= indent && new
        };
        let end = self.lines[begin..].iter().position(outside).map_or(self.lines.len(), |count| begin + count);
        self.at = end;
        self.lines[begin..end].to_vec()
    }

    /// The text of each line, without the block's indentation.
    fn block_content(&mut self, lines: &[Line<'t>], indent: usize) -> Vec<String> {
        let mut content = Vec::new();
        for line in lines {
            if line.indent < indent && !line.is_blank() {
                self.note(line.start, Kind::Indentation);
            }
            // What is blank at a line's end is part of it here.
            let end = self.text[line.start..].find('\n').map_or(self.text.len(), |end| line.start + end);
            let text = self.text[line.start..end].trim_end_matches('\r');
            let columns = line.indent.saturating_sub(indent);
            content.push(format!("{}{text}", " ".repeat(columns)));
        }
        content
    }
}

/// Line breaks become blanks, but those around empty and deeper lines stay (YAML 1.2.2, 8.1.3).
fn folded(lines: &[String]) -> String {
    let mut text = String::new();
    let mut breaks = 0;
    let mut was_deep = true;
    for line in lines {
        if line.is_empty() {
            breaks += 1;
            continue;
        }
        let is_deep = line.starts_with([' ', '\t']);
        if !text.is_empty() {
            match (was_deep || is_deep, breaks) {
                (true, _) => text.extend(std::iter::repeat_n('\n', breaks + 1)),
                (false, 0) => text.push(' '),
                (false, _) => text.extend(std::iter::repeat_n('\n', breaks)),
            }
        } else {
            text.extend(std::iter::repeat_n('\n', breaks));
        }
        text.push_str(line);
        breaks = 0;
        was_deep = is_deep;
    }
    text
}

/// What stays of the line breaks at the end: one, none (`-`), all (`+`).
fn chomped(text: &str, lines: &[String], indicators: &str) -> String {
    let body = text.trim_end_matches('\n');
    if indicators.contains('-') {
        return body.to_owned();
    }
    if indicators.contains('+') {
        let empty = lines.iter().rev().take_while(|line| line.is_empty()).count();
        let last = usize::from(!body.is_empty());
        return format!("{body}{}", "\n".repeat(empty + last));
    }
    if body.is_empty() { String::new() } else { format!("{body}\n") }
}

/// A text between quotes that could not be read by the book: only quotes themselves are unescaped.
fn unescaped(text: &str, quote: char) -> String {
    if quote == '"' { text.replace("\\\"", "\"") } else { text.replace("''", "'") }
}
