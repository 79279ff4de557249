//! YAML as models write it, and how it is read.
// clippy.toml allows these in tests, but does not see helpers of integration tests.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use synod_lenient::{Kind, Unread, tolerant, yaml as read};

#[track_caller]
fn check(text: &str, value: &Value, kinds: &[Kind]) {
    support::check(read, text, value, kinds);
}

#[test]
fn fences_and_prose_are_left_out() {
    check("Here:\n```yaml\na: 1\n```\nBye.", &json!({"a": 1}), &[Kind::Fence, Kind::ProseBefore, Kind::ProseAfter]);
    check(
        "Here is the YAML you asked for:\n\na: 1\nb: x\n\nI hope this helps.",
        &json!({"a": 1, "b": "x"}),
        &[Kind::ProseBefore, Kind::ProseAfter],
    );
    check("a: 1\n```\n", &json!({"a": 1}), &[Kind::ProseAfter]);
}

#[test]
fn colons_without_quotes_are_text() {
    check("title: Dune: Part Two\nb: 1", &json!({"title": "Dune: Part Two", "b": 1}), &[Kind::BareText]);
    check("- a: b: c\n- at: 10:30", &json!([{"a": "b: c"}, {"at": "10:30"}]), &[Kind::BareText]);
}

#[test]
fn what_would_need_quotes_is_text() {
    check("a: @home\nb: `x`\nc: 100% sure", &json!({"a": "@home", "b": "`x`", "c": "100% sure"}), &[Kind::BareText; 2]);
    check("a: \"x\" (y)\nb: [l](u) t", &json!({"a": "\"x\" (y)", "b": "[l](u) t"}), &[Kind::BareText; 2]);
    check("a: \"say \"hi\" now\"\nb: 1", &json!({"a": "say \"hi\" now", "b": 1}), &[Kind::InnerQuote]);
}

#[test]
fn what_a_program_assigns_is_doubted() {
    let text = "# Sensors\nname = \"x\"\nsensors = [\n  {\n    id: \"S 1\",\n    type: 3\n  },\n  {\n    id: \"S";
    let value = json!([{"id": "S 1", "type": 3}, {"id": "S"}]);
    check(text, &value, &[Kind::WithinLine, Kind::Cut]);
    check(&format!("```yaml\n{text}"), &value, &[Kind::Fence, Kind::WithinLine, Kind::Cut]);
}

#[test]
fn tabs_indent() {
    check("a:\n\tb: 1\n\tc:\n\t\td: 2\n", &json!({"a": {"b": 1, "c": {"d": 2}}}), &[Kind::Tab; 3]);
}

#[test]
fn indentation_of_no_level_belongs_to_the_level_above() {
    check("a:\n    b: 1\n  c: 2\nd: 3", &json!({"a": {"b": 1, "c": 2}, "d": 3}), &[Kind::Indentation]);
}

#[test]
fn other_bullets_make_a_list() {
    check("a:\n  * x\n  * y\n", &json!({"a": ["x", "y"]}), &[Kind::OtherBullet; 2]);
    check("a:\n  1. x\n  2. y: z\n", &json!({"a": ["x", {"y": "z"}]}), &[Kind::OtherBullet; 2]);
}

#[test]
fn a_missing_space_is_seen_among_keys() {
    check("a: 1\nb:2\n", &json!({"a": 1, "b": 2}), &[Kind::MissingSpace]);
}

#[test]
fn what_is_cut_off_is_kept_as_far_as_it_goes() {
    check("a: 1\nb: \"wor", &json!({"a": 1, "b": "wor"}), &[Kind::Cut]);
    check("a: 1\nb: [1, {c: 2", &json!({"a": 1, "b": [1, {"c": 2}]}), &[Kind::Cut]);
    check("```yaml\na: 1\nb: \"wor", &json!({"a": 1, "b": "wor"}), &[Kind::Cut, Kind::Fence]);
}

#[test]
fn a_block_that_is_not_indented_goes_to_the_next_key() {
    check(
        "answer: |\nThe planet is\nred.\nconfidence: 5\n",
        &json!({"answer": "The planet is\nred.\n", "confidence": 5}),
        &[Kind::Unindented],
    );
}

#[test]
fn doubts_are_named() {
    check("a: 1\na: 2", &json!({"a": 2}), &[Kind::DuplicateKey]);
    check("a: x\n  b: y", &json!({"a": "x b: y"}), &[Kind::StrayLine]);
    check("---\na: 1\n---\nb: 2\n", &json!({"a": 1}), &[Kind::MoreFollows]);
}

#[test]
fn prose_alone_is_no_document() {
    for text in ["", "I cannot do that.", "One line.\n\nAnother line."] {
        assert_eq!(read(text), Err(Unread::Nothing), "{text}");
    }
}

#[test]
fn aliases_cannot_blow_up() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..20 {
        let inner = vec![format!("*a{}", level - 1); 9].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{inner}]\n"));
    }
    // Not valid under the limit on values; what is left is text.
    assert!(read(&text).unwrap().notes.iter().any(|note| note.kind.is_doubt()) || read(&text).is_ok());
}

/// What is valid, the tolerant reader reads as the strict one does.
#[test]
fn what_is_valid_reads_as_a_strict_parser_reads_it() {
    for text in [
        "a: 1\nb:\n  - x\n  - y: 2\n    z: [1, 2, {k: v}]\n  -\n    w: null\n",
        "- a\n- - b\n  - c\n-\n  d: e\n",
        "a:\n- 1\n- 2\nb: c\n",
        "text: |\n  one\n   two\n\n  three\nnext: >-\n  folded\n  text\n\n  more\nkeep: |+\n  x\n\nend: 1\n",
        "a: plain text\n  that goes on\nb: \"quoted\n  over lines\"\nc: 'it''s'\n",
        "# comment\na: 1 # one\n\n# two\nb: \"x # y\" # z\n",
        "\"a b\": 1\n'c': 2\n",
        "a: ~\nb: true\nc: 0x1F\nd: 1e3\ne: '1'\nf:\n",
        "---\na: 1\n...\n",
        "{a: 1, b: [x, y], \"c\": 'd'}\n",
        "a: [\n  1,\n  2\n]\nb: {\n  c: d\n}\n",
        "on:\n  push:\n    branches: [ main ]\njobs:\n  x:\n    steps:\n      - uses: a/b@v1\n        with:\n          k: v\n      - run: |\n          echo \"a: b\"\n          ls\n",
        "a: http://x.y/z?q=1#frag\nb: 12:30\nc: -\n",
        "list:\n  - name: A\n\n    tags:\n      - x\n  - name: B\n",
        "a: >\n\n  x\n  y\n    z\n  w\n\n\nb: |-\n  x\n\n",
        "a: \"x\\ty \\u00e9 \\x41\"\n",
    ] {
        let Some((value, _)) = tolerant::strict_yaml(text) else { continue };
        let read = tolerant::yaml(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_eq!(read.value, value, "{text}");
        assert!(read.notes.is_empty(), "{text}: {:?}", read.notes);
    }
}
