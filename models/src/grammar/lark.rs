//! What to check of a Lark grammar before llguidance sees it.

use ::regex::Regex;

use super::{GrammarError, GrammarLimits, compiler::check_length};

/// Strings, comments and regular expressions, as llguidance's lexer sees them.
const QUOTED: &str = r#""(?:\\.|[^"\\\n])*"|(?:#|//)[^\n]*|/(?:\\.|[^/\\])+/"#;

/// Constructs that would be enforced only in part here, and what to say of them.
const REFUSED: &[(&str, &str)] = &[
    (r"%json\b", "%json is not allowed: give the schema by itself"),
    (r"%lark\b", "%lark is not allowed: write the rules into the grammar"),
    (r"%llguidance\b", "%llguidance options are not allowed"),
    (r"<[^<>\s]+>", "special tokens are not allowed: they have no text"),
    (r"@[a-zA-Z0-9_-]", "other grammars cannot be referred to"),
    (
        r"(?m)^[ \t]*[!?_]*[A-Za-z][\w-]*[^:\n|\[]*\[[^\]\n]*\b(?:capture|stop|stop_capture|suffix|lazy|max_tokens|temperature)\b[^\]\n]*\]\s*:",
        "attributes of rules are not allowed",
    ),
];

/// Refuses what is too large, too deep or not enforced.
pub(super) fn check(source: &str, limits: &GrammarLimits) -> Result<(), GrammarError> {
    check_length(source, limits)?;
    let internal = |error: ::regex::Error| GrammarError::Lark(error.to_string());
    let bare = Regex::new(QUOTED).map_err(internal)?.replace_all(source, |quoted: &::regex::Captures<'_>| {
        // Lines keep their numbers.
        quoted[0].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect::<String>()
    });
    let (depth, limit) = (depth(&bare), limits.max_depth);
    if depth > limit {
        return Err(GrammarError::TooDeep { depth, limit });
    }
    for &(pattern, problem) in REFUSED {
        if let Some(found) = Regex::new(pattern).map_err(internal)?.find(&bare) {
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
