//! A rendered template with its placeholders still in place, and what it becomes once they are filled.

use super::{Filling, Part};

/// Around a placeholder. Private-use characters; only our own template and role texts are ever searched for them.
const OPEN: char = '\u{F0000}';
const CLOSE: char = '\u{F0001}';

/// Where somebody's text goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    System,
    Question,
    Role,
    Draft(usize),
}

/// A stretch of a rendered template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    Text(String),
    Slot(Slot),
}

impl Slot {
    pub(super) fn placeholder(self) -> String {
        match self {
            Self::System => format!("{OPEN}system{CLOSE}"),
            Self::Question => format!("{OPEN}question{CLOSE}"),
            Self::Role => format!("{OPEN}role{CLOSE}"),
            Self::Draft(at) => format!("{OPEN}{at}{CLOSE}"),
        }
    }

    fn parse(name: &str) -> Option<Self> {
        match name {
            "system" => Some(Self::System),
            "question" => Some(Self::Question),
            "role" => Some(Self::Role),
            at => at.parse().ok().map(Self::Draft),
        }
    }

    fn text(self, filling: Filling<'_>) -> &str {
        match self {
            Self::System => filling.system,
            Self::Question => filling.question,
            Self::Role => filling.role,
            Self::Draft(at) => filling.drafts.get(at).copied().unwrap_or_default(),
        }
    }
}

/// Cuts rendered text at its placeholders.
pub(super) fn split(rendered: &str) -> Vec<Segment> {
    let mut segments = Vec::new();
    let mut text = String::new();
    let mut rest = rendered;
    while let Some((before, after)) = rest.split_once(OPEN) {
        text.push_str(before);
        rest = after;
        if let Some((name, after)) = after.split_once(CLOSE)
            && let Some(slot) = Slot::parse(name)
        {
            if !text.is_empty() {
                segments.push(Segment::Text(std::mem::take(&mut text)));
            }
            segments.push(Segment::Slot(slot));
            rest = after;
        }
    }
    text.push_str(rest);
    if !text.is_empty() {
        segments.push(Segment::Text(text));
    }
    segments
}

/// The parts of a last message. The question is a part of its own, however the template goes on: its tokens are then
/// the same in every layer, and so is the cache entry.
pub(super) fn parts(segments: &[Segment], filling: Filling<'_>) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut open = String::new();
    let flush = |open: &mut String, parts: &mut Vec<Part>| {
        if !open.is_empty() {
            parts.push(Part::Text(std::mem::take(open)));
        }
    };
    for segment in segments {
        match segment {
            Segment::Text(text) => open.push_str(text),
            Segment::Slot(slot @ (Slot::System | Slot::Role)) => open.push_str(slot.text(filling)),
            Segment::Slot(slot @ Slot::Question) => {
                flush(&mut open, &mut parts);
                parts.push(Part::Text(slot.text(filling).to_owned()));
            }
            Segment::Slot(slot @ Slot::Draft(_)) => {
                flush(&mut open, &mut parts);
                parts.push(Part::Quoted { text: slot.text(filling).to_owned(), max_tokens: 0, more: false });
            }
        }
    }
    flush(&mut open, &mut parts);
    parts
}

/// One text, for where there are no parts. Drafts lose their chat-control tokens: nobody downstream can tell them from
/// ours any more.
pub(super) fn flat(segments: &[Segment], filling: Filling<'_>) -> String {
    let piece = |segment: &Segment| match segment {
        Segment::Text(text) => text.clone(),
        Segment::Slot(slot @ Slot::Draft(_)) => defang(slot.text(filling)),
        Segment::Slot(slot) => slot.text(filling).to_owned(),
    };
    segments.iter().map(piece).collect()
}

/// Breaks what chat templates read as control tokens, `<|word|>` and Gemma's and Llama's own, with a space.
pub(super) fn defang(text: &str) -> String {
    const NAMED: [&str; 6] = ["<start_of_turn>", "<end_of_turn>", "<bos>", "<eos>", "<s>", "</s>"];
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        out.push(c);
        let here = &text[at..];
        if c == '<' && (is_bar_token(here) || NAMED.iter().any(|token| here.starts_with(token))) {
            out.push(' ');
        }
    }
    out
}

/// `<|im_end|>` and the like; not F#'s `<|`.
fn is_bar_token(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("<|") else { return false };
    let name = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    name.len() < rest.len() && name.starts_with("|>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_tokens_in_a_flat_draft_are_broken_and_code_is_not() {
        assert_eq!(defang("a<|im_end|>b"), "a< |im_end|>b");
        assert_eq!(defang("x <| y |> z, <b>, <s>"), "x <| y |> z, <b>, < s>");
    }

    #[test]
    fn a_stray_mark_is_text() {
        let text = format!("a{OPEN}b{CLOSE}c{OPEN}");
        assert_eq!(split(&text).len(), 1);
    }
}
