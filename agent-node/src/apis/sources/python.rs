//! Python as documents write it: a call as a string, functions as signatures. Parsed, never run.

mod literal;
mod signature;

use serde_json::Value;
use tree_sitter::{Node, Parser, Tree};

pub(super) use signature::functions;

/// Nodes of a syntax tree within one another.
const MAX_DEPTH: usize = 64;

/// A call in Python.
#[derive(Debug, PartialEq)]
pub(super) struct PythonCall {
    /// What stands before the bracket, as it is written.
    pub(super) callee: String,
    pub(super) positional: Vec<Argument>,
    pub(super) keywords: Vec<(String, Argument)>,
}

/// What is passed.
#[derive(Debug, PartialEq)]
pub(super) enum Argument {
    /// A value that the document fixes.
    Literal(Value),
    /// An expression, such as a variable's name: what it stands for is left to the caller.
    Expression(String),
}

/// The call in a text: the outermost, or, where that passes nothing (`load('x').eval()`), the one it is made on.
pub(super) fn call(text: &str) -> Option<PythonCall> {
    let tree = parse(text)?;
    let mut node = first_call(tree.root_node(), MAX_DEPTH)?;
    loop {
        let function = node.child_by_field_name("function")?;
        let arguments = node.child_by_field_name("arguments")?;
        match first_call(function, MAX_DEPTH) {
            Some(inner) if !passes_something(node) && passes_something(inner) => node = inner,
            _ => return Some(read(function, arguments, text)),
        }
    }
}

fn passes_something(call: Node<'_>) -> bool {
    call.child_by_field_name("arguments").is_some_and(|arguments| arguments.named_child_count() > 0)
}

fn read(function: Node<'_>, arguments: Node<'_>, text: &str) -> PythonCall {
    let mut call = PythonCall { callee: source(function, text), positional: Vec::new(), keywords: Vec::new() };
    let mut cursor = arguments.walk();
    for argument in arguments.named_children(&mut cursor) {
        let value = argument.child_by_field_name("value");
        match (argument.kind(), argument.child_by_field_name("name"), value) {
            ("keyword_argument", Some(name), Some(value)) => {
                call.keywords.push((source(name, text), read_argument(value, text)));
            }
            ("comment" | "ERROR" | "list_splat" | "dictionary_splat", ..) => {}
            _ => call.positional.push(read_argument(argument, text)),
        }
    }
    call
}

fn read_argument(node: Node<'_>, text: &str) -> Argument {
    literal::value(node, text, MAX_DEPTH).map_or_else(|| Argument::Expression(source(node, text)), Argument::Literal)
}

fn first_call(node: Node<'_>, depth: usize) -> Option<Node<'_>> {
    if node.kind() == "call" && node.child_by_field_name("arguments").is_some_and(|list| list.kind() == "argument_list")
    {
        return Some(node);
    }
    let mut cursor = node.walk();
    let depth = depth.checked_sub(1)?;
    node.named_children(&mut cursor).find_map(|child| first_call(child, depth))
}

fn parse(text: &str) -> Option<Tree> {
    let mut parser = Parser::new();
    parser.set_language(&tree_sitter_python::LANGUAGE.into()).ok()?;
    parser.parse(text, None)
}

fn source(node: Node<'_>, text: &str) -> String {
    text.get(node.byte_range()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(text: &str, callee: &str, positional: &[Value], keywords: &[(&str, Value)]) {
        let call = call(text).unwrap();
        assert_eq!(call.callee, callee);
        assert_eq!(call.positional, positional.iter().cloned().map(Argument::Literal).collect::<Vec<_>>());
        let expected = keywords.iter().map(|(name, value)| ((*name).to_owned(), Argument::Literal(value.clone())));
        assert_eq!(call.keywords, expected.collect::<Vec<_>>());
    }

    #[test]
    fn calls_are_read_as_python_reads_them() {
        check(
            "torch.hub.load(repo_or_dir='a/b', model=\"m\", pretrained=True)",
            "torch.hub.load",
            &[],
            &[("repo_or_dir", json!("a/b")), ("model", json!("m")), ("pretrained", json!(true))],
        );
        check("model = f('it\\'s', -1, 2.5, None)", "f", &[json!("it's"), json!(-1), json!(2.5), json!(null)], &[]);
        check("load('x').eval()", "load", &[json!("x")], &[]);
        check("service.events().list()", "service.events().list", &[], &[]);
        check("service.events().list(id=3)", "service.events().list", &[], &[("id", json!(3))]);
        check("f([1, 'a'], {'k': (True,)}, 'a' 'b')", "f", &[json!([1, "a"]), json!({"k": [true]}), json!("ab")], &[]);
    }

    #[test]
    fn a_variable_is_not_a_value() {
        let call = call("model.fit(data, epochs=n + 1)").unwrap();
        assert_eq!(call.positional, [Argument::Expression("data".to_owned())]);
        assert_eq!(call.keywords, [("epochs".to_owned(), Argument::Expression("n + 1".to_owned()))]);
    }

    #[test]
    fn what_is_no_call_is_none() {
        for text in ["", "import torch", "a.b.c", "((((", &"(".repeat(100_000), &format!("f({}", "[".repeat(100_000))] {
            assert!(call(text).is_none_or(|call| call.callee == "f"), "{}", &text[..text.len().min(20)]);
        }
    }
}
