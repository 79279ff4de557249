//! One grammar over all tools: an answer is words or calls, and a call has a tool's name and arguments of its schema.
//!
//! Models were trained to write calls in one way and write them in others: in `<tool_call>` tags, in a fence, or bare. Each of
//! these begins in its own way and words begin in none of them, so that the first token decides, and the model's own habit is
//! never in the way of its choice.

use std::fmt::Write;

use super::{Tool, Tools, schema::relaxed};
use crate::{http::format::Format, members::Grammar};

/// The most calls of one answer.
const MAX_CALLS: usize = 16;

impl Tools {
    /// The grammar; `format` is that of an answer in words.
    pub(in crate::http) fn grammar(&self, format: &Format) -> Grammar {
        // JSON in a fence or bare may be an answer where JSON was asked for.
        let only_tagged = !matches!(format, Format::Text);
        let several = |call: &str| match self.parallel {
            true => format!("{call} (\"\\n\" {call}){{0,{}}}", MAX_CALLS - 1),
            false => call.to_owned(),
        };
        let mut calls = vec![several("tagged")];
        if !only_tagged {
            calls.push(several("call"));
            calls.push(format!("\"```json\\n\" {} \"\\n```\"", several("call")));
        }
        let mut lark = match self.required {
            true => "start: calls\n".to_owned(),
            false => format!("start: calls | words\nwords: {}\n", words(format)),
        };
        // Writing to a string does not fail.
        let _ = writeln!(lark, "calls: {}", calls.join("\n  | "));
        let _ = writeln!(lark, "tagged: \"<tool_call>\\n\" call \"\\n</tool_call>\"");
        let names: Vec<String> = (0..self.list.len()).map(|at| format!("call_{at}")).collect();
        let _ = writeln!(lark, "call: {}", names.join(" | "));
        self.list.iter().enumerate().for_each(|(at, tool)| tool.write(at, &mut lark));
        Grammar::Lark(lark)
    }
}

/// An answer in words begins as no call does.
fn words(format: &Format) -> String {
    match format {
        Format::Text => r"/[^<{\[`\s](.|\n)*/".to_owned(),
        Format::Object => r#"%json {"type": "object"}"#.to_owned(),
        Format::Schema(schema) => format!("%json {schema}"),
    }
}

impl Tool {
    fn write(&self, at: usize, lark: &mut String) {
        let Self { name, parameters, strict, .. } = self;
        let begin = serde_json::Value::String(format!("{{\"name\": \"{name}\", \"arguments\": "));
        let schema = if *strict { parameters.clone() } else { relaxed(parameters) };
        let _ = writeln!(lark, "call_{at}: {begin} arguments_{at} \"}}\"");
        let _ = writeln!(lark, "arguments_{at}: %json {schema}");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tools(required: bool, parallel: bool) -> Tools {
        let parameters = json!({"type": "object", "properties": {"city": {"type": "string", "hint": 1}}});
        let tool = Tool { name: "weather".to_owned(), description: None, parameters, strict: false };
        Tools { list: vec![tool], required, parallel }
    }

    #[test]
    fn a_grammar_has_every_habit_and_words_that_begin_as_none() {
        let Grammar::Lark(lark) = tools(false, true).grammar(&Format::Text) else { panic!("no Lark") };
        insta::assert_snapshot!(lark, @r#"
        start: calls | words
        words: /[^<{\[`\s](.|\n)*/
        calls: tagged ("\n" tagged){0,15}
          | call ("\n" call){0,15}
          | "```json\n" call ("\n" call){0,15} "\n```"
        tagged: "<tool_call>\n" call "\n</tool_call>"
        call: call_0
        call_0: "{\"name\": \"weather\", \"arguments\": " arguments_0 "}"
        arguments_0: %json {"type":"object","properties":{"city":{"type":"string"}},"additionalProperties":false}
        "#);
        let Grammar::Lark(lark) = tools(true, false).grammar(&Format::Object) else { panic!("no Lark") };
        assert!(lark.starts_with("start: calls\ncalls: tagged\ntagged:"), "{lark}");
    }
}
