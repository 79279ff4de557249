//! Splitting text into the words that byte-level BPE works on.
//!
//! The rules are those of llama.cpp (`llama-vocab.cpp`), where each `tokenizer.ggml.pre` is a list of regular expressions,
//! applied one after the other to the parts that the one before it left. Their one look-ahead, `\s+(?!\S)`, is done by
//! hand, so that matching stays linear in the text whatever the text is.

use regex::Regex;

use super::TokenizerError;

const GPT2: Rule =
    Rule { regex: r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+", spaces: Spaces::LeaveLast };
const LLAMA3: Rule = Rule {
    regex: r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+",
    spaces: Spaces::LeaveLastUnlessLineEnd,
};
const QWEN2: Rule = Rule {
    regex: r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+",
    spaces: Spaces::LeaveLastUnlessLineEnd,
};

/// A splitting rule of llama.cpp by its names in `tokenizer.ggml.pre`.
struct Scheme {
    names: &'static [&'static str],
    rules: &'static [Rule],
    /// Whether a word that is a token is taken whole, whatever its merges.
    ignore_merges: bool,
}

const SCHEMES: &[Scheme] = &[
    Scheme { names: &["smollm", "starcoder"], rules: &[plain(r"\p{N}"), GPT2], ignore_merges: false },
    Scheme { names: &["qwen2", "deepseek-r1-qwen"], rules: &[QWEN2], ignore_merges: false },
    Scheme { names: &["llama-bpe", "llama3", "llama-v3"], rules: &[LLAMA3], ignore_merges: true },
    Scheme { names: &["gpt-2"], rules: &[GPT2], ignore_merges: false },
    Scheme {
        names: &["default"],
        rules: &[plain(r"[\p{P}\$\+<=>\^~\|]+"), GPT2, plain(r"\p{N}+"), plain("[0-9][0-9][0-9]")],
        ignore_merges: false,
    },
];

struct Rule {
    regex: &'static str,
    spaces: Spaces,
}

const fn plain(regex: &'static str) -> Rule {
    Rule { regex, spaces: Spaces::Keep }
}

/// What a match of nothing but white space does before a word: `\s+(?!\S)` leaves the last space to it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spaces {
    Keep,
    LeaveLast,
    /// Where `\s*[\r\n]+` comes first, and takes line ends whole.
    LeaveLastUnlessLineEnd,
}

/// Splits text into words.
pub(super) struct Pretokenizer {
    rules: Vec<(Regex, Spaces)>,
    ignore_merges: bool,
}

impl Pretokenizer {
    /// The rule called `pre` in GGUF files.
    pub(super) fn new(pre: &str) -> Result<Self, TokenizerError> {
        let Some(scheme) = SCHEMES.iter().find(|scheme| scheme.names.contains(&pre)) else {
            let supported = SCHEMES.iter().flat_map(|scheme| scheme.names).copied().collect();
            return Err(TokenizerError::UnknownPretokenizer { pre: pre.to_owned(), supported });
        };
        let compile = |rule: &Rule| Ok((Regex::new(rule.regex)?, rule.spaces));
        let rules = scheme.rules.iter().map(compile).collect::<Result<_, regex::Error>>();
        let rules = rules.map_err(|error| TokenizerError::Matcher(error.into()))?;
        Ok(Self { rules, ignore_merges: scheme.ignore_merges })
    }

    /// Whether a word that is a token is taken whole, whatever its merges.
    pub(super) fn ignores_merges(&self) -> bool {
        self.ignore_merges
    }

    /// Calls `word` with each word of `text`, in order; together they are the text.
    pub(super) fn split<'t>(&self, text: &'t str, word: &mut dyn FnMut(&'t str)) {
        split_by(&self.rules, text, word);
    }
}

fn split_by<'t>(rules: &[(Regex, Spaces)], text: &'t str, word: &mut dyn FnMut(&'t str)) {
    let Some(((regex, spaces), later)) = rules.split_first() else {
        if !text.is_empty() {
            word(text);
        }
        return;
    };
    let mut done = 0;
    while let Some(found) = regex.find_at(text, done) {
        let end = shorten(text, found.start(), found.end(), *spaces);
        split_by(later, &text[done..found.start()], word);
        split_by(later, &text[found.start()..end], word);
        done = end;
    }
    split_by(later, &text[done..], word);
}

/// Where the match `start..end` ends once it has left its last space to the word after it.
fn shorten(text: &str, start: usize, end: usize, spaces: Spaces) -> usize {
    if spaces == Spaces::Keep || end == text.len() {
        return end;
    }
    let found = &text[start..end];
    let Some(last) = found.chars().next_back().filter(|c| c.is_whitespace()) else { return end };
    if spaces == Spaces::LeaveLastUnlessLineEnd && matches!(last, '\r' | '\n') {
        return end;
    }
    // A run of white space ends before a word or with the text, so that what follows here is a word. A run of one has
    // nothing to leave, and the rules match nothing that merely ends in white space other than line ends.
    let shorter = end - last.len_utf8();
    if shorter == start || !found.chars().all(char::is_whitespace) { end } else { shorter }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(pre: &str, text: &str, expected: &[&str]) {
        let mut words = vec![];
        Pretokenizer::new(pre).unwrap().split(text, &mut |word| words.push(word));
        assert_eq!(words, expected);
    }

    #[test]
    fn words_take_one_space_before_them() {
        for pre in ["smollm", "qwen2", "llama-bpe", "gpt-2", "default"] {
            check(pre, "a  b   ", &["a", " ", " b", "   "]);
            check(pre, " ", &[" "]);
            check(pre, "", &[]);
        }
    }

    #[test]
    fn digits_are_split_as_each_model_wants() {
        check("smollm", "ab 1234", &["ab", " ", "1", "2", "3", "4"]);
        check("qwen2", "ab 1234", &["ab", " ", "1", "2", "3", "4"]);
        check("llama-bpe", "ab 1234", &["ab", " ", "123", "4"]);
        check("gpt-2", "ab 1234", &["ab", " 1234"]);
        check("default", "ab 1234", &["ab", " ", "123", "4"]);
    }

    #[test]
    fn line_ends_are_split_as_each_model_wants() {
        check("gpt-2", "a\n\nb \n c", &["a", "\n", "\n", "b", " \n", " c"]);
        check("qwen2", "a\n\nb \n c", &["a", "\n\n", "b", " \n", " c"]);
        check("qwen2", "x);\n\n\ty", &["x", ");\n\n", "\ty"]);
        check("gpt-2", "\t\tb", &["\t", "\t", "b"]);
    }

    #[test]
    fn contractions_keep_their_case_rules() {
        check("gpt-2", "we'd DON'T", &["we", "'d", " DON", "'", "T"]);
        check("qwen2", "we'd DON'T", &["we", "'d", " DON", "'T"]);
    }

    #[test]
    fn an_unknown_rule_is_named_and_not_guessed() {
        let error = Pretokenizer::new("tekken").err().unwrap().to_string();
        assert!(error.contains("\"tekken\"") && error.contains("qwen2"), "{error}");
    }

    static ALL: LazyLock<Vec<Pretokenizer>> =
        LazyLock::new(|| SCHEMES.iter().map(|scheme| Pretokenizer::new(scheme.names[0]).unwrap()).collect());

    proptest! {
        #[test]
        fn the_words_together_are_the_text(text in "[a-z'A-Z 0-9\\s\\r\\n\\t.(){}é漢\u{301}\u{200d}👩]{0,40}") {
            for pretokenizer in &*ALL {
                let mut words = vec![];
                pretokenizer.split(&text, &mut |word| words.push(word));
                prop_assert!(words.iter().all(|word| !word.is_empty()));
                prop_assert_eq!(words.concat(), text.as_str());
            }
        }
    }
}
