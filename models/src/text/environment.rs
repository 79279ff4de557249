//! The Jinja that chat templates are written for: that of Python's `transformers`, with limits.

use std::{error::Error as _, fmt};

use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, State, Value, filters, syntax::SyntaxConfig, value::Kwargs,
};

use super::clock;

/// What one rendering may cost, in instructions or 64 bytes of text made: enough for thousands of messages.
const BASE_FUEL: u64 = 100_000;
/// A template may copy what it is given this often: joining strings with `+` makes a copy at each step.
const COPIES: u64 = 16;
/// Ends an endless loop well within a second, and bounds how deeply a template can nest values.
const MAX_FUEL: u64 = 300_000;

/// An environment for templates of strangers: no loader, no files, and a budget that fits `bytes` of messages.
///
/// One hole is left: minijinja 3.1 charges for walking a value only once it has been walked, so that a template which
/// doubles a list in itself (`x = [x, x]`, thirty times) and prints or compares it runs for minutes and takes memory without
/// bound. Only a template written for that does so; models of the catalogue are pinned by their hash.
pub(super) fn environment(bytes: usize) -> Environment<'static> {
    let mut environment = Environment::new();
    // The defaults of delimiters are always valid.
    if let Ok(syntax) = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build() {
        environment.set_syntax(syntax);
    }
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    // Errors would hold the values that were in scope, with the messages in them.
    environment.set_debug(false);
    environment.set_fuel(Some(MAX_FUEL.min(BASE_FUEL + bytes as u64 * COPIES / 64)));
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", |format: &str| clock::strftime_now(format));
    environment.add_filter("tojson", to_json);
    environment
}

/// What a template says when it does not take a chat; inside the error it raised.
#[derive(Debug)]
pub(super) struct Refusal(String);

impl Refusal {
    /// The refusal that led to `error`, if one did.
    pub(super) fn find(error: &Error) -> Option<&str> {
        let mut source = error.source();
        while let Some(error) = source {
            if let Some(refusal) = error.downcast_ref::<Self>() {
                return Some(&refusal.0);
            }
            source = error.source();
        }
        None
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

fn raise_exception(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, "raised by the template").with_source(Refusal(message)))
}

/// JSON as Python writes it: minijinja's own filter escapes `<`, `>`, `&` and `'` for HTML, which changes what a model
/// reads.
fn to_json(state: &State<'_, '_>, value: &Value, indent: Option<Value>, options: Kwargs) -> Result<String, Error> {
    let json = filters::tojson(value, indent, options)?.to_string();
    // What the engine itself charges for walking a value.
    state.consume_fuel(json.len() as u64 / 4)?;
    Ok(without_html_escapes(&json))
}

fn without_html_escapes(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        // Escapes are ASCII. One that is kept is skipped whole: in `\\u003c` the backslash is what is escaped.
        let (before, escape) = rest.split_at(at);
        text.push_str(before);
        let known = [("\\u003c", '<'), ("\\u003e", '>'), ("\\u0026", '&'), ("\\u0027", '\'')];
        match known.into_iter().find(|(escaped, _)| escape.starts_with(escaped)) {
            Some((escaped, c)) => {
                text.push(c);
                rest = &escape[escaped.len()..];
            }
            None => {
                let end = escape.len().min(2);
                text.push_str(&escape[..end]);
                rest = &escape[end..];
            }
        }
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(template: &str, expected: &str) {
        let text = "<a> & 'b' \\u003c \"é\"";
        let values = minijinja::context! { text, list => [1, 2], none => Value::from(()) };
        assert_eq!(environment(0).template_from_str(template).unwrap().render(values).unwrap(), expected);
    }

    #[test]
    fn json_is_written_as_python_writes_it() {
        check("{{ text | tojson }}", r#""<a> & 'b' \\u003c \"é\"""#);
        check("{{ {'a': list, 'b': none} | tojson }}", r#"{"a": [1, 2], "b": null}"#);
        check("{{ list | tojson(indent=2) }}", "[\n  1,\n  2\n]");
    }

    #[test]
    fn block_lines_leave_no_trace_and_python_methods_work() {
        check("  {% if true %}\nA{{ text.split('>')[0].strip('<').upper() }}\n  {% endif %}\nB", "AA\nB");
        check("{% for i in list %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}", "1");
        check("{{ text.startswith('<a>') and not text.endswith('x') }}", "True");
    }

    #[test]
    fn the_date_can_be_written() {
        let year = environment(0).template_from_str("{{ strftime_now('%Y') }}").unwrap().render(()).unwrap();
        assert!(year.parse::<u32>().unwrap() >= 2025);
    }
}
