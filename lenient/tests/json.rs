//! JSON as models write it, and how it is read.
// clippy.toml allows these in tests, but does not see helpers of integration tests.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use synod_lenient::{Kind, Unread, json as read};

#[track_caller]
fn check(text: &str, value: &Value, kinds: &[Kind]) {
    support::check(read, text, value, kinds);
}

#[test]
fn strict_json_is_read_without_a_note() {
    check(r#" {"a": [1, 2.5, null, "x\n"]} "#, &json!({"a": [1, 2.5, null, "x\n"]}), &[]);
}

#[test]
fn fences_and_prose_are_left_out() {
    check(
        "Sure!\n```json\n{\"a\": 1}\n```\nBye.",
        &json!({"a": 1}),
        &[Kind::Fence, Kind::ProseBefore, Kind::ProseAfter],
    );
    check("Use {name} here: {\"a\": 1}. Good?", &json!({"a": 1}), &[Kind::ProseBefore, Kind::ProseAfter]);
    check(
        "As in [1], <tool_call>{\"name\": \"f\"}</tool_call>",
        &json!({"name": "f"}),
        &[Kind::ProseBefore, Kind::ProseAfter],
    );
    check("const x = {\"a\": 1};", &json!({"a": 1}), &[Kind::ProseBefore, Kind::ProseAfter]);
}

#[test]
fn commas_too_many_and_too_few() {
    check("{\"a\": 1, \"b\": [1, 2,],}", &json!({"a": 1, "b": [1, 2]}), &[Kind::ExtraComma; 2]);
    check("{\"a\": 1\n\"b\": \"x\" \"c\": 2}", &json!({"a": 1, "b": "x", "c": 2}), &[Kind::MissingComma; 2]);
    check("[{\"a\": 1} {\"a\": 2}]", &json!([{"a": 1}, {"a": 2}]), &[Kind::MissingComma]);
}

#[test]
fn quotes_of_other_languages() {
    check(
        "{'a': 'it''s', b: \"x\"}",
        &json!({"a": "it''s", "b": "x"}),
        &[Kind::OtherQuotes, Kind::OtherQuotes, Kind::InnerQuote, Kind::InnerQuote, Kind::BareKey],
    );
    check("{'a': 'it's fine'}", &json!({"a": "it's fine"}), &[Kind::OtherQuotes, Kind::OtherQuotes, Kind::InnerQuote]);
    check("{“a”: “b”}", &json!({"a": "b"}), &[Kind::OtherQuotes; 2]);
    check("{\"a\": \"\"\"x\n\"y\" z\"\"\"}", &json!({"a": "x\n\"y\" z"}), &[Kind::OtherQuotes]);
}

#[test]
fn quotes_within_a_text_are_told_from_its_end() {
    let inner = [Kind::InnerQuote, Kind::InnerQuote];
    check(r#"{"a": "He said "hi" to me", "b": 1}"#, &json!({"a": "He said \"hi\" to me", "b": 1}), &inner);
    check(r#"{"a": "He said "hi", then left", "b": 1}"#, &json!({"a": "He said \"hi\", then left", "b": 1}), &inner);
    check(r#"["say "a", please", "b"]"#, &json!(["say \"a\", please", "b"]), &inner);
}

#[test]
fn a_quote_that_is_never_closed_ends_with_its_line() {
    check("{\"a\": \"x,\n \"b\": 1}", &json!({"a": "x", "b": 1}), &[Kind::MissingQuote, Kind::MissingComma]);
}

#[test]
fn literals_and_numbers_of_other_languages() {
    check(
        "{\"a\": True, \"b\": None, \"c\": 1_000}",
        &json!({"a": true, "b": null, "c": 1000}),
        &[Kind::ForeignLiteral, Kind::ForeignLiteral, Kind::ForeignNumber],
    );
    check(
        "{\"a\": new Date(2024, 1), \"b\": NaN}",
        &json!({"a": "new Date(2024, 1)", "b": null}),
        &[Kind::BareText, Kind::NoSuchValue],
    );
    check("{\"a\": (1, 2)}", &json!({"a": [1, 2]}), &[Kind::Tuple]);
}

#[test]
fn comments_and_elisions() {
    check("{\"a\": 1, // one\n /* two */ \"b\": 2 # three\n}", &json!({"a": 1, "b": 2}), &[Kind::Comment; 3]);
    check("{\"url\": \"http://x/#y\"}", &json!({"url": "http://x/#y"}), &[]);
    check("[1, 2, ...]", &json!([1, 2]), &[Kind::Elided]);
}

#[test]
fn escapes_and_line_breaks_in_texts() {
    check("{\"a\": \"x\ny\"}", &json!({"a": "x\ny"}), &[Kind::RawControl]);
    check(r#"{"a": "\d+ \_b\_ \u00e9 \ud83d\ude00"}"#, &json!({"a": "\\d+ _b_ é 😀"}), &[Kind::Escape; 3]);
    check("{\"a\": \"x\" +\n \"y\"}", &json!({"a": "xy"}), &[Kind::Concatenation]);
}

#[test]
fn what_is_cut_off_is_kept_as_far_as_it_goes() {
    for (text, value) in [
        ("{\"a\": 1, \"b\": [1, {\"c\": \"wor", json!({"a": 1, "b": [1, {"c": "wor"}]})),
        ("{\"a\": 1, \"b\"", json!({"a": 1})),
        ("{\"a\": 1, \"b\":", json!({"a": 1})),
        ("{\"a\": 1, \"b\": tr", json!({"a": 1, "b": true})),
        ("{\"a\": 1,", json!({"a": 1})),
        ("```json\n[\"a\", \"b", json!(["a", "b"])),
    ] {
        let read = read(text).unwrap();
        assert_eq!(read.value, value, "{text}");
        assert!(read.is_cut() && read.is_certain(), "{text}: {:?}", read.notes);
    }
}

#[test]
fn what_is_cut_off_in_its_first_member_says_nothing_yet() {
    check("{\n  \"steps_to", &json!({}), &[Kind::Cut]);
    check("As JSON:\n{\n  \"steps\":", &json!({}), &[Kind::ProseBefore, Kind::Cut]);
    assert_eq!(read("return json.dumps({\"status"), Err(Unread::Nothing));
}

#[test]
fn brackets_within_a_line_are_doubted_where_they_needed_more_than_quotes_and_commas() {
    check("x = {'a': 1,}", &json!({"a": 1}), &[Kind::ProseBefore, Kind::OtherQuotes, Kind::ExtraComma]);
    check("x = {\"a\": big}", &json!({"a": "big"}), &[Kind::ProseBefore, Kind::WithinLine, Kind::BareText]);
}

#[test]
fn a_text_that_a_program_would_compute_is_doubted() {
    let text = "{\"a\": \"no \" + name,\n\"b\": 1}";
    check(text, &json!({"a": "no \" + name", "b": 1}), &[Kind::Expression, Kind::MissingQuote, Kind::MissingComma]);
}

#[test]
fn brackets_that_do_not_match() {
    check("{\"a\": [1, 2}", &json!({"a": [1, 2]}), &[Kind::MissingCloser]);
    check("{\"a\": [{\"b\": 1], \"c\": 2}", &json!({"a": [{"b": 1}], "c": 2}), &[Kind::MissingCloser]);
    check("{\"a\": {\"b\": 1}}, \"c\": 2}", &json!({"a": {"b": 1}, "c": 2}), &[Kind::WrongCloser]);
    check("{\"a\": 1}}", &json!({"a": 1}), &[Kind::WrongCloser]);
}

#[test]
fn doubts_are_named() {
    check(
        "{\"a\": 1, \"a\": 2, x: }",
        &json!({"a": 2, "x": null}),
        &[Kind::DuplicateKey, Kind::BareKey, Kind::MissingValue],
    );
    check("{\"a\": 1}\n{\"a\": 2}", &json!({"a": 1}), &[Kind::MoreFollows]);
    check("{\"a\" => 1}", &json!({"a": 1}), &[Kind::OtherSeparator]);
}

#[test]
fn what_is_no_json_is_not_read() {
    for text in ["", "I cannot do that.", "See [1] {x}.", "name: Ada", "}{"] {
        assert!(
            matches!(read(text), Err(Unread::Nothing)) || read(text).is_ok_and(|read| read.value == json!([1])),
            "{text}"
        );
    }
}

#[test]
fn limits_hold() {
    assert!(matches!(read(&"[".repeat(200)), Err(Unread::TooDeep { .. })));
    assert_eq!(read(&" ".repeat((4 << 20) + 1)), Err(Unread::TooLong));
    // Looks ahead are short: this takes no time.
    read(&format!("[{}", "\"a\"b".repeat(100_000))).unwrap();
    read(&"{".repeat(90).repeat(1000)).unwrap_err();
}
