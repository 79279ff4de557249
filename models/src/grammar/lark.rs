//! What to check of a Lark grammar before llguidance sees it. Schemas within (`%json {…}`) are checked as those that stand
//! alone.

use ::regex::Regex;

use super::{GrammarError, GrammarLimits, compiler::check_length, schema};

/// Strings, comments and regular expressions, as llguidance's lexer sees them.
const QUOTED: &str = r#""(?:\\.|[^"\\\n])*"|(?:#|//)[^\n]*|/(?:\\.|[^/\\])+/"#;

/// What a JSON schema follows.
const SCHEMA: &str = "%json";

/// Constructs that would be enforced only in part here, and what to say of them.
const REFUSED: &[(&str, &str)] = &[
    (r"%lark\b", "%lark is not allowed: write the rules into the grammar"),
    (r"%llguidance\b", "%llguidance options are not allowed"),
    (r"<[^<>\s]+>", "special tokens are not allowed: they have no text"),
    (r"@[a-zA-Z0-9_-]", "other grammars cannot be referred to"),
    (
        r"(?m)^[ \t]*[!?_]*[A-Za-z][\w-]*[^:\n|\[]*\[[^\]\n]*\b(?:capture|stop|stop_capture|suffix|lazy|max_tokens|temperature)\b[^\]\n]*\]\s*:",
        "attributes of rules are not allowed",
    ),
];

/// The grammar as llguidance is given it; refuses what is too large, too deep or not enforced.
pub(super) fn prepare(source: &str, limits: &GrammarLimits) -> Result<String, GrammarError> {
    check_length(source, limits)?;
    let (mut prepared, mut rules, mut rest) = (String::new(), String::new(), source);
    while let Some(at) = blanked(rest)?.find(SCHEMA) {
        let (before, json) = rest.split_at(at + SCHEMA.len());
        let mut values = serde_json::Deserializer::from_str(json).into_iter::<serde_json::Value>();
        let value = match values.next() {
            Some(Ok(value)) => value,
            Some(Err(error)) => return Err(GrammarError::Json(error.to_string())),
            None => return Err(GrammarError::Json(format!("nothing follows {SCHEMA}"))),
        };
        let (json, after) = json.split_at(values.byte_offset());
        let schema = schema::prepare(&value.to_string(), limits)?;
        prepared.extend([before, " ", &schema.to_string()]);
        rules.extend([before, &"\n".repeat(json.matches('\n').count())]);
        rest = after;
    }
    check(&blanked(&(rules + rest))?, limits)?;
    Ok(prepared + rest)
}

/// The source with blanks in the place of strings, comments and regular expressions, byte for byte.
fn blanked(source: &str) -> Result<String, GrammarError> {
    let quoted = Regex::new(QUOTED).map_err(internal)?;
    let blank = |quoted: &::regex::Captures<'_>| {
        // Lines keep their numbers.
        quoted[0].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect::<String>()
    };
    Ok(quoted.replace_all(source, blank).into_owned())
}

fn internal(error: ::regex::Error) -> GrammarError {
    GrammarError::Lark(error.to_string())
}

fn check(bare: &str, limits: &GrammarLimits) -> Result<(), GrammarError> {
    let (depth, limit) = (depth(bare), limits.max_depth);
    if depth > limit {
        return Err(GrammarError::TooDeep { depth, limit });
    }
    for &(pattern, problem) in REFUSED {
        if let Some(found) = Regex::new(pattern).map_err(internal)?.find(bare) {
            let before = &bare[..found.end()];
            return Err(GrammarError::LarkRefused { line: before.matches('\n').count() + 1, problem });
        }
    }
    Ok(())
}

fn depth(source: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    for c in source.chars() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}
