//! Finding places in rendered text: characters that nobody wrote, put into the messages and looked for in the prompt.

use std::collections::HashSet;

use super::{ChatMessage, Piece, TemplateError};

/// A range of private-use characters; a text that holds all 65,534 of them cannot be marked.
const PRIVATE_USE: std::ops::RangeInclusive<char> = '\u{f0000}'..='\u{ffffd}';

/// Three characters that occur in none of the texts they mark.
#[derive(Debug, Clone, Copy)]
pub(super) struct Markers {
    start: char,
    end: char,
    /// Where more will be added to the last message.
    open: char,
}

impl Markers {
    /// Markers that are not in `texts`.
    pub(super) fn new<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Self, TemplateError> {
        let used: HashSet<char> = texts.flat_map(str::chars).filter(|c| PRIVATE_USE.contains(c)).collect();
        let mut free = PRIVATE_USE.filter(|c| !used.contains(c));
        match (free.next(), free.next(), free.next()) {
            (Some(start), Some(end), Some(open)) => Ok(Self { start, end, open }),
            _ => Err(TemplateError::NoMarkers),
        }
    }

    /// The message with its content between markers. White space around the content stays outside, so that a template
    /// that trims contents still does.
    pub(super) fn enclose(self, message: &ChatMessage) -> ChatMessage {
        let content = &message.content;
        let core = content.trim();
        if core.is_empty() {
            return message.clone();
        }
        let before = content.len() - content.trim_start().len();
        let (white, rest) = content.split_at(before);
        let (core, after) = rest.split_at(core.len());
        let (start, end) = (self.start, self.end);
        ChatMessage { role: message.role.clone(), content: format!("{white}{start}{core}{end}{after}") }
    }

    /// The message with the mark for more at its end.
    pub(super) fn leave_open(self, message: &ChatMessage) -> ChatMessage {
        ChatMessage { role: message.role.clone(), content: format!("{}{}", message.content, self.open) }
    }

    /// Whether `marked` is `plain` but for the markers around contents.
    pub(super) fn marks_only(self, marked: &str, plain: &str) -> bool {
        marked.chars().filter(|&c| c != self.start && c != self.end).eq(plain.chars())
    }

    /// The pieces of `marked`: untrusted between markers, trusted elsewhere.
    pub(super) fn pieces(self, marked: &str) -> Result<Vec<Piece>, TemplateError> {
        let mut pieces = vec![];
        let mut rest = marked;
        while let Some((trusted, after)) = rest.split_once(self.start) {
            let (untrusted, after) = after.split_once(self.end).ok_or(TemplateError::Untraceable)?;
            pieces.extend([Piece::trusted(trusted), Piece::untrusted(untrusted)]);
            rest = after;
        }
        pieces.push(Piece::trusted(rest));
        // A stray marker means that the template took a content apart.
        if pieces.iter().any(|piece| piece.text.contains([self.start, self.end])) {
            return Err(TemplateError::Untraceable);
        }
        pieces.retain(|piece| !piece.text.is_empty());
        Ok(pieces)
    }

    /// Cuts the pieces at the one mark for more.
    pub(super) fn cut(self, pieces: Vec<Piece>) -> Result<(Vec<Piece>, Vec<Piece>), TemplateError> {
        let found = pieces.iter().map(|piece| piece.text.matches(self.open).count()).sum();
        if found != 1 {
            return Err(TemplateError::NotOpen { found });
        }
        let (mut before, mut after) = (vec![], vec![]);
        for piece in pieces {
            match piece.text.split_once(self.open) {
                Some((left, right)) => {
                    before.push(Piece { text: left.to_owned(), trusted: piece.trusted });
                    after.push(Piece { text: right.to_owned(), trusted: piece.trusted });
                }
                None if after.is_empty() => before.push(piece),
                None => after.push(piece),
            }
        }
        before.retain(|piece| !piece.text.is_empty());
        after.retain(|piece| !piece.text.is_empty());
        Ok((before, after))
    }
}
