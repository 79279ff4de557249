//! Calls in what a model wrote, whatever way it wrote them: in `<tool_call>` or `<tools>` tags, in fences, bare, one after the
//! other or in a list, as JSON or nearly so. Only calls of tools that there are count, and none that was cut off or could
//! mean something else.

use serde_json::{Map, Value};
use synod_lenient::Kind;

use super::{Call, Tools};

/// What a call may stand between; what is left open reaches to the end.
const BETWEEN: [(&str, &str); 5] = [
    ("<tool_call>", "</tool_call>"),
    ("<tools>", "</tools>"),
    ("```json", "```"),
    ("```tool_call", "```"),
    ("```", "```"),
];
/// Keys that models use for a call's arguments.
const ARGUMENTS: [&str; 4] = ["arguments", "parameters", "args", "input"];
/// How deep calls may stand in lists and objects.
const DEPTH: usize = 4;

impl Tools {
    /// The calls in a text; none where it has none.
    pub(super) fn read(&self, text: &str) -> Vec<Call> {
        for (open, close) in BETWEEN {
            let mut calls = Vec::new();
            let mut rest = text;
            while let Some((_, after)) = rest.split_once(open) {
                let (inside, left) = after.split_once(close).unwrap_or((after, ""));
                calls.extend(self.values(inside));
                rest = left;
            }
            if !calls.is_empty() {
                return calls;
            }
        }
        self.values(text)
    }

    /// The calls of a text that is objects and lists and nothing else; text after them is passed over.
    fn values(&self, text: &str) -> Vec<Call> {
        let mut calls = Vec::new();
        let mut rest = text.trim_start();
        while rest.starts_with(['{', '[']) {
            let Some((value, after)) = first_value(rest) else { break };
            self.collect(&value, DEPTH, &mut calls);
            rest = after.trim_start_matches([',', ';']).trim_start();
        }
        calls
    }

    fn collect(&self, value: &Value, depth: usize, calls: &mut Vec<Call>) {
        match value {
            _ if depth == 0 => {}
            Value::Array(items) => items.iter().for_each(|item| self.collect(item, depth - 1, calls)),
            Value::Object(members) => match self.call(members) {
                Some(call) => calls.push(call),
                None => {
                    for inner in ["function", "tool_calls", "function_call"].iter().filter_map(|key| members.get(*key))
                    {
                        self.collect(inner, depth - 1, calls);
                    }
                }
            },
            _ => {}
        }
    }

    fn call(&self, members: &Map<String, Value>) -> Option<Call> {
        let name = members.get("name")?.as_str().filter(|name| self.knows(name))?;
        let given = ARGUMENTS.iter().find_map(|key| members.get(*key));
        let arguments = match given {
            None | Some(Value::Null) => "{}".to_owned(),
            Some(Value::String(text)) => {
                serde_json::from_str::<Map<String, Value>>(text).is_ok().then(|| text.clone())?
            }
            Some(value) => value.is_object().then(|| value.to_string())?,
        };
        Some(Call { name: name.to_owned(), arguments })
    }
}

/// The value that a text begins with, and what follows it: JSON, or what can only be meant for one.
fn first_value(text: &str) -> Option<(Value, &str)> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    if let Some(Ok(value)) = values.next() {
        return Some((value, text[values.byte_offset()..].trim_start()));
    }
    let read = synod_lenient::json(text).ok().filter(|read| !read.is_cut())?;
    let mut doubts = read.notes.iter().filter(|note| note.kind.is_doubt());
    match doubts.next() {
        None => Some((read.value, "")),
        Some(note) if note.kind == Kind::MoreFollows && doubts.next().is_none() => Some((read.value, &text[note.at..])),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::Tool, *};

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str)]) {
        let tool = |name: &str| Tool { name: name.to_owned(), description: None, parameters: json!({}), strict: false };
        let tools = Tools { list: vec![tool("f"), tool("g")], required: false, parallel: true };
        let calls: Vec<(String, String)> =
            tools.read(text).into_iter().map(|call| (call.name, call.arguments)).collect();
        let expected: Vec<_> = expected.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        assert_eq!(calls, expected, "{text}");
    }

    #[test]
    fn calls_are_read_in_every_way_that_models_write_them() {
        let call = r#"{"name": "f", "arguments": {"x": 1}}"#;
        for text in [
            call.to_owned(),
            format!("<tool_call>\n{call}\n</tool_call>"),
            format!("<tool_call>{call}"),
            format!("Sure!\n<tools>\n{call}\n</tools>"),
            format!("```json\n{call}\n```\nThat does it."),
            format!("Here:\n```\n[{call}]\n```"),
            format!("{call}\nThis calls f."),
            r#"{"type": "function", "function": {"name": "f", "parameters": {"x": 1}}}"#.to_owned(),
            r#"{"tool_calls": [{"function": {"name": "f", "arguments": "{\"x\":1}"}}]}"#.to_owned(),
            "{'name': 'f', 'arguments': {'x': 1,}}".to_owned(),
            "<tools>\n{name: \"f\", arguments: {x: 1}} // one call\n</tools>".to_owned(),
        ] {
            check(&text, &[("f", r#"{"x":1}"#)]);
        }
        check(
            &format!("<tool_call>\n{call}\n</tool_call>\n<tool_call>\n{{\"name\": \"g\"}}\n</tool_call>"),
            &[("f", r#"{"x":1}"#), ("g", "{}")],
        );
        check(&format!("{call}, {call}"), &[("f", r#"{"x":1}"#), ("f", r#"{"x":1}"#)]);
        check(
            "{'name': 'f'}\n{'name': 'g', 'arguments': {}}\n{\"name\": \"f\"}",
            &[("f", "{}"), ("g", "{}"), ("f", "{}")],
        );
    }

    #[test]
    fn what_is_no_call_of_a_known_tool_is_none() {
        for text in [
            "I would call f.",
            r#"{"name": "h", "arguments": {}}"#,
            r#"{"name": "f", "arguments": [1]}"#,
            r#"{"name": "f", "arguments": "x"}"#,
            r#"{"name": "f", "arguments": {"x": "#,
            r#"{"x": {"name": "f"}}"#,
            "<tool_call>\n</tool_call>",
            "```python\nf(x=1)\n```",
            "{'name': 'f', 'arguments': {'x': 1",
            "{'name': 'f', 'name': 'g'}",
            "{'name': 'f', 'arguments': {'x': a + 'b'}}",
        ] {
            check(text, &[]);
        }
    }
}
