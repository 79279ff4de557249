//! Spans of time as people write them: `500ms`, `120s`, `2m`.

use std::time::Duration;

/// The longest span a configuration may ask for.
const MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads a whole number with a unit.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("\"{text}\" is not a time: write a whole number and ms, s, m or h, such as \"500ms\" or \"120s\"");
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let milliseconds = match unit.trim() {
        "ms" => Some(number),
        "s" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        _ => return Err(wrong()),
    };
    match milliseconds.map(Duration::from_millis) {
        Some(span) if span <= MAX => Ok(span),
        _ => Err(format!("\"{text}\" is longer than a day")),
    }
}

/// Writes a span the way [`parse`] reads it.
pub(super) fn show(span: Duration) -> String {
    match span.as_millis() {
        0 => "0s".to_owned(),
        ms if ms % 1_000 != 0 => format!("{ms}ms"),
        ms => format!("{}s", ms / 1_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_written() {
        for (text, ms) in [("500ms", 500), ("120s", 120_000), ("2m", 120_000), ("1h", 3_600_000), ("0s", 0)] {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
            assert_eq!(parse(&show(Duration::from_millis(ms))), Ok(Duration::from_millis(ms)));
        }
    }

    #[test]
    fn what_is_no_span_is_refused() {
        for text in ["", "5", "s", "-5s", "1.5s", "5 parsecs", "99999999999999999999s", "99999h"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
