//! What holds for every document: it is read as it was written, and damage that leaves only one reading is repaired.
// clippy.toml allows these in tests, but does not see helpers of integration tests.
#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;
use serde_json::{Map, Value};
use synod_lenient::{json, tolerant, yaml};

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,8}",
        "[A-Z][a-z]{0,6}( [a-z]{1,6}){0,4}",
        "[a-z ,.:;'#\\-\\[\\]{}&*!|>%@0-9\"\\\\]{0,14}",
        Just("true".to_owned()),
        Just("12".to_owned()),
        Just(String::new()),
        "[a-z]{1,4}\n[a-z ]{0,6}\n?",
    ]
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        (-1000i32..1000).prop_map(|n| Value::from(f64::from(n) / 8.0)),
        word().prop_map(Value::from),
    ];
    let inner = leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            members(inner).prop_map(Value::Object),
        ]
    });
    members(inner).prop_filter("a document says something", |members| !members.is_empty()).prop_map(Value::Object)
}

fn members(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::vec(("[a-z][a-z_0-9]{0,8}", inner), 0..5).prop_map(|members| members.into_iter().collect())
}

/// Whether `part` is what is left of `whole` when its text is cut: no value is another, only shorter or not there.
fn is_beginning(part: &Value, whole: &Value) -> bool {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => {
            part.iter().zip(whole).all(|((key, part), (other, whole))| key == other && is_beginning(part, whole))
                && part.len() <= whole.len()
        }
        (Value::Array(part), Value::Array(whole)) => {
            part.len() <= whole.len() && part.iter().zip(whole).all(|(part, whole)| is_beginning(part, whole))
        }
        (Value::String(part), Value::String(whole)) => whole.starts_with(part.as_str()),
        // A cut number may read as a smaller one; a cut `-` is text.
        (Value::Number(_) | Value::String(_), Value::Number(_)) => true,
        (part, whole) => part == whole,
    }
}

/// YAML in block style, as models like it; a value that would need quotes gets them.
fn block_style(value: &Value, indent: usize, quote: char, out: &mut String) {
    let pad = " ".repeat(indent);
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (key, value) in members {
                out.push_str(&format!("{pad}{key}:"));
                below(value, indent, quote, out);
            }
        }
        Value::Array(elements) if !elements.is_empty() => {
            for element in elements {
                out.push_str(&format!("{pad}-"));
                below(element, indent, quote, out);
            }
        }
        _ => out.push_str(&format!("{pad}{}\n", leaf(value, quote))),
    }
}

fn below(value: &Value, indent: usize, quote: char, out: &mut String) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            out.push('\n');
            block_style(value, indent + 2, quote, out);
        }
        Value::Array(elements) if !elements.is_empty() => {
            out.push('\n');
            block_style(value, indent + 2, quote, out);
        }
        Value::String(text)
            if text.ends_with('\n')
                && !text.ends_with("\n\n")
                && text.trim() == text.trim_end_matches('\n')
                && text.matches('\n').count() > 1 =>
        {
            out.push_str(" |\n");
            for line in text.lines() {
                out.push_str(&format!("{}{line}\n", " ".repeat(indent + 2)));
            }
        }
        _ => out.push_str(&format!(" {}\n", leaf(value, quote))),
    }
}

fn leaf(value: &Value, quote: char) -> String {
    match value {
        Value::String(text)
            if text.chars().all(|c| c.is_ascii_lowercase() || c == ' ')
                && text.trim() == text
                && text.len() > 1
                && !matches!(text.as_str(), "true" | "null" | "false") =>
        {
            text.clone()
        }
        Value::String(text) if quote == '\'' && !text.contains('\n') => format!("'{}'", text.replace('\'', "''")),
        other => other.to_string(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn valid_json_reads_as_a_strict_parser_reads_it(value in document(), pretty in any::<bool>()) {
        let text = if pretty { format!("{value:#}") } else { value.to_string() };
        let read = tolerant::json(&text).unwrap();
        prop_assert_eq!(&read.value, &value);
        prop_assert!(read.is_strict(), "{:?}", read.notes);
    }

    #[test]
    fn valid_yaml_reads_as_a_strict_parser_reads_it(value in document(), single in any::<bool>()) {
        let mut text = String::new();
        block_style(&value, 0, if single { '\'' } else { '"' }, &mut text);
        prop_assert_eq!(&tolerant::strict_yaml(&text).unwrap().0, &value, "{}", &text);
        let read = tolerant::yaml(&text).unwrap();
        prop_assert_eq!(&read.value, &value, "{}", &text);
        prop_assert!(read.is_strict(), "{:?}\n{}", read.notes, text);
    }

    #[test]
    fn json_is_found_in_prose_and_fences(value in document(), fence in any::<bool>(), foreign in any::<bool>()) {
        let mut text = format!("{value:#}");
        if foreign {
            text = text.replace(": true", ": True").replace(": null", ": None");
        }
        let text = if fence { format!("Sure, here you are:\n```json\n{text}\n```\nAnything else?") } else { format!("Sure: {text}\nDone.") };
        let read = json(&text).unwrap();
        prop_assert_eq!(&read.value, &value);
        prop_assert!(!read.is_strict());
    }

    #[test]
    fn commas_before_brackets_and_missing_at_line_ends_change_nothing(value in document(), extra in any::<bool>()) {
        let text = format!("{value:#}");
        let lines: Vec<&str> = text.lines().collect();
        let damaged: Vec<String> = lines.iter().enumerate().map(|(at, line)| {
            let closes = lines.get(at + 1).is_some_and(|next| next.trim_start().starts_with(['}', ']']));
            match extra {
                true if closes && !line.ends_with(['{', '[']) => format!("{line},"),
                false => line.strip_suffix(',').unwrap_or(line).to_owned(),
                true => (*line).to_owned(),
            }
        }).collect();
        prop_assert_eq!(json(&damaged.join("\n")).unwrap().value, value);
    }

    #[test]
    fn what_is_left_of_cut_json_is_its_beginning(value in document(), at in 0.0f64..1.0) {
        let text = format!("{value:#}");
        let mut end = (text.len() as f64 * at) as usize;
        while !text.is_char_boundary(end) { end -= 1; }
        if let Ok(read) = json(&text[..end]) {
            prop_assert!(is_beginning(&read.value, &value), "{}\n{:?}", read.value, read.notes);
            prop_assert!(read.is_cut());
        }
    }

    #[test]
    fn nothing_makes_the_readers_fall(text in "[\\[\\]{}()\"'`a-z0-9:,\\-\n\t #|>*&!%@.\\\\/é“”+=~?]{0,80}") {
        let _ = json(&text);
        let _ = yaml(&text);
        let _ = tolerant::yaml(&text);
        let _ = tolerant::json(&text);
    }
}
