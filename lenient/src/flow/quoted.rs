//! Texts in quotes.

use super::{Dialect, Place, Reader};
use crate::Kind;

/// What closes a text that begins with this quote; none if it is no quote.
pub(super) fn closing(quote: char, dialect: Dialect) -> Option<char> {
    match quote {
        '"' | '\'' => Some(quote),
        '`' if dialect == Dialect::Json => Some('`'),
        '“' | '”' => Some('”'),
        '‘' => Some('’'),
        _ => None,
    }
}

impl Reader<'_> {
    /// A text in quotes, with what is added to it by `+`.
    pub(super) fn joined(&mut self, place: Place) -> String {
        let mut text = self.quoted(place);
        while self.dialect == Dialect::Json && self.plus() {
            self.note(Kind::Concatenation);
            text.push_str(&self.quoted(place));
        }
        text
    }

    /// Goes over a `+` that has a quote after it.
    fn plus(&mut self) -> bool {
        let rest = self.rest().trim_start();
        let Some(after) = rest.strip_prefix('+').map(str::trim_start).filter(|after| after.starts_with(['"', '\'']))
        else {
            return false;
        };
        self.at = self.text.len() - after.len();
        true
    }

    pub(super) fn quoted(&mut self, place: Place) -> String {
        let tripled = ["\"\"\"", "'''"].into_iter().find(|quotes| self.rest().starts_with(quotes));
        if let Some(quotes) = tripled
            && self.dialect == Dialect::Json
            && self.rest()[3..].contains(quotes)
        {
            return self.tripled(quotes);
        }
        let quote = self.peek().unwrap_or('"');
        if quote != '"' && (self.dialect == Dialect::Json || quote != '\'') {
            self.note(Kind::OtherQuotes);
        }
        self.bump();
        let closing = closing(quote, self.dialect).unwrap_or('"');
        self.until(closing, place)
    }

    fn tripled(&mut self, quotes: &str) -> String {
        self.note(Kind::OtherQuotes);
        let inner = &self.rest()[3..];
        let end = inner.find(quotes).unwrap_or(inner.len());
        self.at += 3 + end + 3;
        inner[..end].to_owned()
    }

    fn until(&mut self, closing: char, place: Place) -> String {
        let single = closing == '\'' && self.dialect == Dialect::YamlFlow;
        let mut text = String::new();
        while let Some(here) = self.peek() {
            let at = self.at;
            self.bump();
            if here == closing {
                if single && self.peek() == Some('\'') {
                    self.bump();
                    text.push('\'');
                } else if self.closes(self.at, place) {
                    return text;
                } else {
                    self.note_at(at, if self.is_computed() { Kind::Expression } else { Kind::InnerQuote });
                    text.push(here);
                }
            } else if here == '\\' && !single {
                self.escape(at, &mut text);
            } else if here == '\n' && self.dialect == Dialect::YamlFlow {
                self.fold(&mut text);
            } else if here == '\n' && place == Place::Member && self.next_member_at(self.at) {
                self.at = at;
                return self.never_closed(text);
            } else {
                if here.is_ascii_control() && self.dialect == Dialect::Json {
                    self.note_at(at, Kind::RawControl);
                }
                text.push(here);
            }
        }
        self.note(Kind::Cut);
        text
    }

    /// Whether what follows a quote computes with the text: `" + name`, `".join(names)`.
    fn is_computed(&self) -> bool {
        let next = self.rest().trim_start_matches([' ', '\t']);
        let is_name = |rest: &str| rest.trim_start().starts_with(|c: char| c.is_alphabetic() || matches!(c, '_' | '('));
        next.strip_prefix(['+', '%']).is_some_and(is_name)
            || [".join(", ".format("].iter().any(|of| next.starts_with(of))
    }

    /// A text without a closing quote: the next line is another member.
    fn never_closed(&mut self, text: String) -> String {
        self.note(Kind::MissingQuote);
        let text = text.trim_end();
        text.strip_suffix(',').unwrap_or(text).to_owned()
    }

    /// A line break in a quoted YAML text is a space, each empty line after it a line break.
    fn fold(&mut self, text: &mut String) {
        text.truncate(text.trim_end_matches([' ', '\t']).len());
        let rest = self.rest();
        let blank = rest.len() - rest.trim_start().len();
        let lines = rest[..blank].matches('\n').count();
        self.at += blank;
        if lines == 0 {
            text.push(' ');
        }
        text.extend(std::iter::repeat_n('\n', lines));
    }

    /// What a backslash stands for, with what comes after it.
    fn escape(&mut self, at: usize, text: &mut String) {
        let Some(escaped) = self.peek() else { return };
        self.bump();
        let plain = match escaped {
            '"' | '\\' | '/' => escaped,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => return self.unicode(at, 4, text),
            'x' => return self.unicode(at, 2, text),
            'U' if self.dialect == Dialect::YamlFlow => return self.unicode(at, 8, text),
            _ if self.dialect == Dialect::YamlFlow => return self.yaml_escape(at, escaped, text),
            // A line that goes on.
            '\n' => {
                self.note_at(at, Kind::Escape);
                return;
            }
            // A path or a pattern whose backslash was meant to be there; else what Markdown would escape.
            _ => {
                self.note_at(at, Kind::Escape);
                if escaped.is_alphanumeric() {
                    text.push('\\');
                }
                escaped
            }
        };
        text.push(plain);
    }

    fn yaml_escape(&mut self, at: usize, escaped: char, text: &mut String) {
        let plain = match escaped {
            '0' => '\0',
            'a' => '\u{7}',
            'v' => '\u{b}',
            'e' => '\u{1b}',
            ' ' | '\t' => escaped,
            'N' => '\u{85}',
            '_' => '\u{a0}',
            'L' => '\u{2028}',
            'P' => '\u{2029}',
            '\n' => {
                let rest = self.rest();
                self.at += rest.len() - rest.trim_start_matches([' ', '\t']).len();
                return;
            }
            _ => {
                self.note_at(at, Kind::Escape);
                if escaped.is_alphanumeric() {
                    text.push('\\');
                }
                escaped
            }
        };
        text.push(plain);
    }

    /// `\u12ab`, with a second one where the first is half of a pair.
    fn unicode(&mut self, at: usize, digits: usize, text: &mut String) {
        let Some(mut code) = self.hex(digits) else {
            self.note_at(at, Kind::Escape);
            text.push_str(&self.text[at..self.at]);
            return;
        };
        if (0xd800..0xdc00).contains(&code) && self.rest().starts_with("\\u") {
            let before = self.at;
            self.at += 2;
            match self.hex(4).filter(|low| (0xdc00..0xe000).contains(low)) {
                Some(low) => code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00),
                None => self.at = before,
            }
        }
        match char::from_u32(code) {
            Some(plain) => text.push(plain),
            None => {
                self.note_at(at, Kind::Escape);
                text.push('\u{fffd}');
            }
        }
    }

    fn hex(&mut self, digits: usize) -> Option<u32> {
        let code = self.rest().get(..digits).filter(|code| code.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        self.at += digits;
        u32::from_str_radix(code, 16).ok()
    }
}
