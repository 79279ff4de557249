//! Which drafts give the same answer: self-consistency (Wang et al. 2022, arXiv 2203.11171) and what builds on it.

use std::sync::LazyLock;

use regex::Regex;

use super::Candidate;
use crate::topology::Answer;

/// Drafts that give one answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Group<'d> {
    /// The answer in its normal form.
    pub(crate) answer: String,
    /// Who gives it, in the order of the drafts.
    pub(crate) drafts: Vec<&'d Candidate>,
}

impl<'d> Group<'d> {
    /// Its draft whose author was surest.
    pub(crate) fn surest(&self) -> Option<&'d Candidate> {
        surest(self.drafts.iter().copied())
    }
}

/// The draft whose author was surest, the first of equals.
pub(crate) fn surest<'d>(drafts: impl DoubleEndedIterator<Item = &'d Candidate>) -> Option<&'d Candidate> {
    drafts.rev().max_by(|a, b| a.mean_logprob.total_cmp(&b.mean_logprob))
}

/// The drafts by their answers, the most given first; among those given as often, the one that the surest author gives.
/// A draft without an answer of that kind is in no group.
pub(crate) fn groups<'d>(drafts: impl IntoIterator<Item = &'d Candidate>, of: Answer) -> Vec<Group<'d>> {
    let mut groups: Vec<Group<'d>> = Vec::new();
    for draft in drafts {
        let Some(answer) = extract(&draft.text, of) else { continue };
        match groups.iter_mut().find(|group| group.answer == answer) {
            Some(group) => group.drafts.push(draft),
            None => groups.push(Group { answer, drafts: vec![draft] }),
        }
    }
    let sure = |group: &Group<'_>| group.surest().map_or(f64::NEG_INFINITY, |draft| draft.mean_logprob);
    // Stable: the first of equals stays first.
    groups.sort_by(|a, b| b.drafts.len().cmp(&a.drafts.len()).then(sure(b).total_cmp(&sure(a))));
    groups
}

/// The answer that a text gives, in a form that equal answers share.
pub(crate) fn extract(text: &str, of: Answer) -> Option<String> {
    match of {
        Answer::Number => number(text),
        Answer::Choice => choice(text),
        Answer::Code => code(text),
        Answer::Text => words(text),
    }
}

/// The number in the last box or after the last "####", else the last number there is.
fn number(text: &str) -> Option<String> {
    static NUMBER: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?").ok());
    let number = NUMBER.as_ref()?;
    let marked = text.rfind("\\boxed{").into_iter().chain(text.rfind("####")).max();
    let found = marked.and_then(|at| number.find(&text[at..])).or_else(|| number.find_iter(text).last())?;
    let plain = found.as_str().replace(',', "");
    let Some((whole, fraction)) = plain.split_once('.') else { return Some(without_zeros(&plain)) };
    let fraction = fraction.trim_end_matches('0');
    let whole = without_zeros(whole);
    Some(if fraction.is_empty() { whole } else { format!("{whole}.{fraction}") })
}

/// A whole number without leading zeros, and without a sign where it is zero.
fn without_zeros(number: &str) -> String {
    let (sign, digits) = number.strip_prefix('-').map_or(("", number), |digits| ("-", digits));
    match digits.trim_start_matches('0') {
        "" => "0".to_owned(),
        digits => format!("{sign}{digits}"),
    }
}

/// The letter after the last "answer", else the last letter that stands alone as a choice.
fn choice(text: &str) -> Option<String> {
    static AFTER: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"(?i:answer|choice|option)(?i:\s+is)?\s*[:=]?\s*\**\(?([A-J])\b").ok());
    static ALONE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?:^|[\s(*])([A-J])(?:[).:*]|\s*$)").ok());
    let last = |regex: &Option<Regex>| regex.as_ref()?.captures_iter(text).last().map(|found| found[1].to_owned());
    last(&AFTER).or_else(|| last(&ALONE))
}

/// Code without its names, comments and layout: two functions that differ only in those are alike. What they do is not
/// tried: a model's code is not run.
fn code(text: &str) -> Option<String> {
    static TOKEN: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let comment = r"#[^\n]*|//[^\n]*";
        let string = r#""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'"#;
        Regex::new(&format!(
            r"(?P<comment>{comment})|(?P<string>{string})|(?P<name>[\p{{L}}_][\p{{L}}\p{{N}}_]*)|(?P<other>\S)"
        ))
        .ok()
    });
    let block = text.split("```").nth(1).map(|block| block.split_once('\n').map_or("", |(_, code)| code))?;
    let mut names: Vec<&str> = Vec::new();
    let mut normal = String::new();
    for token in TOKEN.as_ref()?.captures_iter(block) {
        if let Some(name) = token.name("name") {
            let name = name.as_str();
            if KEYWORDS.contains(&name) {
                normal += name;
            } else {
                let known = names.iter().position(|known| *known == name).unwrap_or_else(|| {
                    names.push(name);
                    names.len() - 1
                });
                normal += &format!("${known}");
            }
            normal.push(' ');
        } else if let Some(other) = token.name("string").or_else(|| token.name("other")) {
            normal += other.as_str();
        }
    }
    Some(normal).filter(|normal| !normal.is_empty())
}

/// Words that a rename leaves alone, in the languages that small models write most, and names whose meaning is fixed.
const KEYWORDS: [&str; 56] = [
    "def", "return", "if", "elif", "else", "for", "while", "in", "not", "and", "or", "is", "lambda", "class", "import",
    "from", "try", "except", "finally", "raise", "with", "as", "yield", "break", "continue", "pass", "True", "False",
    "None", "fn", "let", "mut", "match", "pub", "struct", "enum", "impl", "use", "function", "const", "var", "new",
    "this", "null", "true", "false", "int", "len", "range", "print", "sum", "sorted", "min", "max", "list", "append",
];

/// The words, without case, punctuation and layout.
fn words(text: &str) -> Option<String> {
    let words: Vec<String> =
        text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect();
    Some(words.join(" ")).filter(|words| !words.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_last_or_the_marked_in_one_form() {
        let number = |text| extract(text, Answer::Number);
        assert_eq!(number("3 apples and 4 make 7."), Some("7".into()));
        assert_eq!(number("So \\boxed{1,234.50}. I used 3 steps."), Some("1234.5".into()));
        assert_eq!(number("#### -007\nin 2 steps"), Some("-7".into()));
        assert_eq!(number("0.50"), Some("0.5".into()));
        assert_eq!(number("-0"), Some("0".into()));
        assert_eq!(number("none"), None);
    }

    #[test]
    fn choices_are_letters_that_are_meant() {
        let choice = |text| extract(text, Answer::Choice);
        assert_eq!(choice("A is wrong. The answer is (C)."), Some("C".into()));
        assert_eq!(choice("Answer: **B**"), Some("B".into()));
        assert_eq!(choice("I think\nD)"), Some("D".into()));
        assert_eq!(choice("A cat sat."), None);
    }

    #[test]
    fn code_is_alike_but_for_names_comments_and_layout() {
        let code = |text: &str| extract(&format!("Here:\n```python\n{text}\n```\nDone."), Answer::Code);
        let one = code("def merge(a, b):\n    return sorted(a + b)  # simple");
        assert_eq!(one, code("def join_lists(x, y): return sorted(x+y)"));
        assert_ne!(one, code("def merge(a, b):\n    return sorted(b + a)"));
        assert_ne!(code("x = 'a'"), code("x = 'b'"));
        assert_eq!(extract("no code", Answer::Code), None);
    }

    #[test]
    fn texts_are_their_words() {
        assert_eq!(extract("  It's Paris! ", Answer::Text), extract("it s paris", Answer::Text));
    }
}
