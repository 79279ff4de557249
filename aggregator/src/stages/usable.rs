//! Is that an answer at all? Only a usable draft counts for quorum or enters a prompt.

/// How often a unit must follow itself before it is a loop.
const MIN_REPEATS: usize = 4;
/// How many characters the repetition must cover: shorter ones are rulers, dots and table borders.
const MIN_REPEATED: usize = 64;
/// How much of the end of a text is searched for a loop; the search is quadratic.
const WINDOW: usize = 4096;

/// The usable text of a draft, or why it has none.
pub(crate) fn usable(text: &str) -> Result<String, &'static str> {
    let text = without_thoughts(text).trim();
    if text.is_empty() {
        return Err("it wrote nothing");
    }
    if is_garbage(text) {
        return Err("what it wrote is not text");
    }
    if is_loop(text) {
        return Err("it repeats itself");
    }
    Ok(text.to_owned())
}

/// As much of a draft under way as its usable text is sure to begin with.
pub(crate) fn settled(text: &str) -> &str {
    const THOUGHTS: &str = "<think>";
    let text = text.trim_start();
    if text.starts_with(THOUGHTS) || THOUGHTS.starts_with(text) { "" } else { text.trim_end() }
}

/// A text without the thinking that comes before it: it is no part of the answer and would fill the next prompt.
fn without_thoughts(text: &str) -> &str {
    let Some(thoughts) = text.trim_start().strip_prefix("<think>") else { return text };
    thoughts.split_once("</think>").map_or("", |(_, answer)| answer)
}

/// More than one character in twenty is a replacement or control character.
fn is_garbage(text: &str) -> bool {
    let odd = |c: &char| *c == char::REPLACEMENT_CHARACTER || (c.is_control() && !matches!(c, '\n' | '\r' | '\t'));
    text.chars().filter(odd).count() * 20 > text.chars().count()
}

/// The text ends in one unit over and over, and that is a third of it or more.
fn is_loop(text: &str) -> bool {
    let characters: Vec<char> = text.trim_end().chars().collect();
    let tail = &characters[characters.len().saturating_sub(WINDOW)..];
    let repeated = (1..=tail.len() / MIN_REPEATS).map(|period| repeated_by(tail, period)).max().unwrap_or(0);
    repeated >= MIN_REPEATED && repeated * 3 >= tail.len()
}

/// How many characters at the end repeat with this period; 0 for too few repetitions.
fn repeated_by(tail: &[char], period: usize) -> usize {
    let pairs = tail.iter().rev().zip(tail.iter().rev().skip(period));
    let covered = pairs.take_while(|(later, earlier)| later == earlier).count() + period;
    if covered >= period * MIN_REPEATS { covered } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_usable() {
        for text in [
            "4",
            "  Paris.\n",
            "ha ha ha ha ha",
            "| a | b |\n|---|---|\n| 1 | 2 |",
            "<think>hm</think>\nParis.",
            "1. one\n2. two\n3. three\n4. four\n5. five\n6. six\n7. seven\n8. eight\n9. nine\n10. ten",
        ] {
            assert!(usable(text).is_ok(), "{text:?}");
        }
        assert_eq!(usable("<think>hm</think>\nParis. ").as_deref(), Ok("Paris."));
    }

    #[test]
    fn empty_garbled_and_looping_texts_are_not() {
        let line = "The answer is forty-two, of course. ".repeat(9);
        let drifted = format!("It is well known that tides follow the moon. {}", "the sea the sea ".repeat(12));
        let zeros = "0".repeat(500);
        let cut_mid_unit = format!("{line}The answer is fo");
        for text in [
            "",
            " \n\t",
            "<think>never ends",
            "\u{fffd}\u{fffd}a",
            "\0\u{1}\u{2}",
            &line,
            &drifted,
            &zeros,
            &cut_mid_unit,
        ] {
            assert!(usable(text).is_err(), "{text:?}");
        }
    }
    proptest::proptest! {
        /// A unit that fills a text is found whatever it is; one more or less at the end changes nothing.
        #[test]
        fn any_unit_over_and_over_is_a_loop(unit in "[a-z ,.]{1,40}[a-z]", lead in "[A-Z ]{0,60}", cut in 0..40_usize) {
            let body = unit.repeat(4 + 160 / unit.len());
            let text = format!("{lead}{}", &body[..body.len() - cut.min(unit.len() - 1)]);
            proptest::prop_assert!(is_loop(&text), "{text}");
        }

        /// No text makes it panic, and what is usable is part of what was written.
        #[test]
        fn what_is_usable_was_written(text in "\\PC{0,200}") {
            if let Ok(kept) = usable(&text) {
                proptest::prop_assert!(text.contains(&kept));
            }
        }
    }
}
