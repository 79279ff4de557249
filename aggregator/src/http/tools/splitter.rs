//! Parts words from calls while an answer is written: words go out at once, what may become a call waits.

use std::sync::Arc;

use super::{Call, Tools};

/// What a call may begin with in the middle of an answer.
const MARKS: [&str; 2] = ["<tool_call>", "<tools>"];

/// One answer on its way.
#[derive(Debug)]
pub(in crate::http) struct Splitter {
    /// None where nothing is a call.
    tools: Option<Arc<Tools>>,
    held: String,
    begun: bool,
    /// From here on everything waits for the end.
    holding: bool,
}

impl Splitter {
    pub(in crate::http) fn new(tools: Option<Arc<Tools>>) -> Self {
        Self { tools, held: String::new(), begun: false, holding: false }
    }

    /// Takes more of the answer; what of it is words.
    pub(in crate::http) fn push(&mut self, text: &str) -> String {
        if self.tools.is_none() {
            return text.to_owned();
        }
        self.held.push_str(text);
        if !self.begun {
            let Some(first) = self.held.trim_start().chars().next() else { return String::new() };
            self.begun = true;
            self.holding = matches!(first, '<' | '{' | '[' | '`');
        }
        if self.holding {
            return String::new();
        }
        let mark = MARKS.iter().filter_map(|mark| self.held.find(mark)).min();
        self.holding = mark.is_some();
        let shown = mark.unwrap_or_else(|| self.held.len() - begun_mark(&self.held));
        let left = self.held.split_off(shown);
        std::mem::replace(&mut self.held, left)
    }

    /// The end: words that waited for nothing, and the calls.
    pub(in crate::http) fn finish(self) -> (String, Vec<Call>) {
        let calls = self.tools.filter(|_| self.holding).map(|tools| tools.read(&self.held)).unwrap_or_default();
        if calls.is_empty() { (self.held, calls) } else { (String::new(), calls) }
    }
}

/// How many bytes at the end may be the beginning of a mark.
fn begun_mark(text: &str) -> usize {
    let begins = |length: &usize| {
        text.is_char_boundary(text.len() - length) && {
            let end = &text[text.len() - length..];
            MARKS.iter().any(|mark| mark.starts_with(end))
        }
    };
    let longest = MARKS.iter().map(|mark| mark.len()).max().unwrap_or(0);
    (1..=longest.min(text.len())).rev().find(begins).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::Tool, *};

    /// What goes out of a text that comes in these pieces, and what at its end.
    fn split(pieces: &[&str]) -> (Vec<String>, String, usize) {
        let tool = Tool { name: "f".to_owned(), description: None, parameters: json!({}), strict: false };
        let tools = Tools { list: vec![tool], required: false, parallel: true };
        let mut splitter = Splitter::new(Some(Arc::new(tools)));
        let shown = pieces.iter().map(|piece| splitter.push(piece)).collect();
        let (rest, calls) = splitter.finish();
        (shown, rest, calls.len())
    }

    #[test]
    fn words_go_out_at_once_and_calls_at_the_end() {
        let strings = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let call = r#"{"name": "f"}"#;
        assert_eq!(split(&["It is ", "1 < 2", "."]), (strings(&["It is ", "1 < 2", "."]), String::new(), 0));
        assert_eq!(split(&[" ", "{\"name\": ", "\"f\"}"]), (strings(&["", "", ""]), String::new(), 1));
        let expected = (strings(&["Well ", "", ""]), String::new(), 1);
        assert_eq!(split(&["Well <too", "l_call>", call]), expected);
        assert_eq!(split(&["a <to", "p>"]).0, ["a ", "<top>"]);
        assert_eq!(split(&["{\"x\"", ": 1}"]), (strings(&["", ""]), "{\"x\": 1}".to_owned(), 0));
        assert_eq!(split(&["```\nx\n```"]).1, "```\nx\n```", "held words are not lost");
    }
}
