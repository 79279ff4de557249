//! Finds the document in what a model wrote around it.

use std::ops::Range;

/// A fenced block of Markdown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fenced {
    /// What stands after the opening fence, in lower case.
    pub(crate) label: String,
    /// The content's bytes.
    pub(crate) content: Range<usize>,
    /// Those of the block with its fences.
    pub(crate) whole: Range<usize>,
}

struct Opening {
    /// Spaces before the fence: one that stands deeper is content.
    indent: usize,
    mark: char,
    length: usize,
    label: String,
    start: usize,
    content: usize,
}

/// The fenced blocks of a text, in order; a last one that is never closed goes to the end.
pub(crate) fn fenced(text: &str) -> Vec<Fenced> {
    let mut blocks = Vec::new();
    let mut open: Option<Opening> = None;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let end = start + line.len();
        if let Some((indent, mark, length, info)) = fence(line) {
            match &open {
                None => open = Some(opening(text, start, (indent, mark, length, info))),
                Some(opened)
                    if info.is_empty() && mark == opened.mark && length >= opened.length && indent <= opened.indent =>
                {
                    let label = opened.label.clone();
                    blocks.push(Fenced { label, content: opened.content.min(start)..start, whole: opened.start..end });
                    open = None;
                }
                Some(_) => {}
            }
        }
        start = end;
    }
    if let Some(opened) = open {
        blocks.push(Fenced {
            label: opened.label,
            content: opened.content..text.len(),
            whole: opened.start..text.len(),
        });
    }
    blocks
}

/// The indentation, the mark, how often it is there, and what stands after it.
fn fence(line: &str) -> Option<(usize, char, usize, &str)> {
    let inner = line.trim_start();
    let mark = inner.chars().next().filter(|mark| matches!(mark, '`' | '~'))?;
    let length = inner.len() - inner.trim_start_matches(mark).len();
    let info = inner[length..].trim();
    (length >= 3 && !info.contains(mark)).then(|| (line.len() - inner.len(), mark, length, info))
}

fn opening(text: &str, start: usize, (indent, mark, length, info): (usize, char, usize, &str)) -> Opening {
    // The content may begin in the fence's own line.
    let inline = info.find(['{', '[']);
    let label = info[..inline.unwrap_or(info.len())].trim().to_lowercase();
    let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at + 1);
    let content = match inline {
        Some(at) => start + text[start..].find(info).unwrap_or(0) + at,
        None => line_end,
    };
    Opening { indent, mark, length, label, start, content }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str)]) {
        let found = fenced(text);
        let found: Vec<_> = found.iter().map(|block| (block.label.as_str(), &text[block.content.clone()])).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn fences_are_found_with_their_labels() {
        check("Here:\n```json\n{}\n```\nand\n~~~\na\n~~~\n", &[("json", "{}\n"), ("", "a\n")]);
    }

    #[test]
    fn a_fence_that_is_never_closed_goes_to_the_end() {
        check("```yaml\na: 1\nb", &[("yaml", "a: 1\nb")]);
    }

    #[test]
    fn a_deeper_or_labelled_fence_is_content() {
        check("```yaml\na: |\n  ```\n  x\n  ```\n```\n", &[("yaml", "a: |\n  ```\n  x\n  ```\n")]);
    }

    #[test]
    fn content_may_begin_in_the_line_of_the_fence() {
        check("```json {\"a\": 1}\n```", &[("json", "{\"a\": 1}\n")]);
    }
}
