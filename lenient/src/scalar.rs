//! What words stand for.

use serde_json::{Number, Value};

use crate::Kind;

/// What an unquoted word means in YAML's core schema (YAML 1.2.2, 10.3.2). Infinities and NaN stay text: JSON has none.
pub(crate) fn core_schema(word: &str) -> Value {
    match word {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => core_number(word).unwrap_or_else(|| Value::String(word.to_owned())),
    }
}

fn core_number(word: &str) -> Option<Value> {
    if let Some(digits) = word.strip_prefix("0x") {
        return integer(digits, 16);
    }
    if let Some(digits) = word.strip_prefix("0o") {
        return integer(digits, 8);
    }
    decimal(word)
}

fn integer(digits: &str, radix: u32) -> Option<Value> {
    let plain = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
    plain.then(|| u64::from_str_radix(digits, radix).ok().map(Value::from)).flatten()
}

/// `[-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
fn decimal(word: &str) -> Option<Value> {
    let unsigned = word.strip_prefix(['-', '+']).unwrap_or(word);
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_exponent = |text: &str| {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        !digits.is_empty() && all_digits(digits)
    };
    if whole.is_empty() && fraction.is_empty()
        || !all_digits(whole)
        || !all_digits(fraction)
        || !exponent.is_none_or(is_exponent)
    {
        return None;
    }
    if mantissa.contains('.') || exponent.is_some() {
        return word.parse().ok().and_then(Number::from_f64).map(Value::Number);
    }
    let plain = word.strip_prefix('+').unwrap_or(word);
    let whole = plain.parse::<i64>().map(Value::from).or_else(|_| plain.parse::<u64>().map(Value::from));
    whole.ok().or_else(|| plain.parse().ok().and_then(Number::from_f64).map(Value::Number))
}

/// What an unquoted word means where JSON was asked for, and what is to be said of it.
pub(crate) fn json_word(word: &str) -> (Value, Option<Kind>) {
    if let Ok(value) = serde_json::from_str::<Value>(word) {
        return (value, None);
    }
    let (value, kind) = match word {
        "" => (Value::Null, Kind::MissingValue),
        "True" | "TRUE" => (Value::Bool(true), Kind::ForeignLiteral),
        "False" | "FALSE" => (Value::Bool(false), Kind::ForeignLiteral),
        "None" | "Null" | "NULL" | "nil" => (Value::Null, Kind::ForeignLiteral),
        "undefined" | "NaN" | "Infinity" | "-Infinity" | "+Infinity" => (Value::Null, Kind::NoSuchValue),
        _ => match foreign_number(word) {
            Some(value) => (value, Kind::ForeignNumber),
            // What joins a name and a quoted text is a program's.
            None if word.contains(" + ") && word.contains(['"', '\'']) => {
                (Value::String(word.to_owned()), Kind::Expression)
            }
            None => (Value::String(word.to_owned()), Kind::BareText),
        },
    };
    (value, Some(kind))
}

fn foreign_number(word: &str) -> Option<Value> {
    // A leading zero is kept as text: it is part of a code, a date or a telephone number.
    let digits = word.trim_start_matches(['-', '+']);
    if digits.len() > 1 && digits.starts_with('0') && digits.as_bytes()[1].is_ascii_digit() {
        return None;
    }
    let grouped = word.contains('_') && word.split('_').all(|group| group.starts_with(|c: char| c.is_ascii_digit()));
    if grouped { core_number(&word.replace('_', "")) } else { core_number(word) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plain_scalars_are_read_by_the_core_schema() {
        for (word, value) in [
            ("12", json!(12)),
            ("-7", json!(-7)),
            ("+7", json!(7)),
            ("0o14", json!(12)),
            ("0xC", json!(12)),
            ("1.", json!(1.0)),
            (".5", json!(0.5)),
            ("1e3", json!(1000.0)),
            ("007", json!(7)),
            ("18446744073709551615", json!(u64::MAX)),
            ("1.2.3", json!("1.2.3")),
            ("12:30", json!("12:30")),
            ("yes", json!("yes")),
            ("-", json!("-")),
            (".", json!(".")),
            ("e5", json!("e5")),
            ("1e", json!("1e")),
            (".inf", json!(".inf")),
            ("~", json!(null)),
        ] {
            assert_eq!(core_schema(word), value, "{word}");
        }
    }

    #[test]
    fn words_of_other_languages_are_known_in_json() {
        for (word, value, kind) in [
            ("1.5", json!(1.5), None),
            ("None", json!(null), Some(Kind::ForeignLiteral)),
            ("1_000", json!(1000), Some(Kind::ForeignNumber)),
            ("+1", json!(1), Some(Kind::ForeignNumber)),
            ("0xff", json!(255), Some(Kind::ForeignNumber)),
            ("0123", json!("0123"), Some(Kind::BareText)),
            ("5 * 4", json!("5 * 4"), Some(Kind::BareText)),
            ("a + 'b'", json!("a + 'b'"), Some(Kind::Expression)),
            ("NaN", json!(null), Some(Kind::NoSuchValue)),
        ] {
            assert_eq!(json_word(word), (value, kind), "{word}");
        }
    }
}
