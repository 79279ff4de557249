//! Constrained decoding over the real vocabularies, with a model that draws any allowed token.
//!
//! Fetches the models it needs into the store.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "helpers of tests")]

mod schemas;
mod walk;

use std::{
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use schemas::{SchemaGenerator, judge};
use serde_json::{Value, json};
use synod_models::{
    gguf::GgufFile,
    grammar::{Constraint, Grammar, GrammarCompiler, GrammarError, GrammarLimits},
    store::{CancelToken, Silent, Store},
    text::{Specials, Tokenizer},
};
use walk::walk;

struct Vocabulary {
    name: &'static str,
    tokenizer: Arc<Tokenizer>,
    compiler: GrammarCompiler,
}

impl Vocabulary {
    fn of(name: &'static str) -> Self {
        let files = Store::open().unwrap().pull(name, &Silent, &CancelToken::new()).unwrap();
        let tokenizer = Arc::new(Tokenizer::from_gguf(&GgufFile::open(files.weights()).unwrap()).unwrap());
        Self { name, compiler: GrammarCompiler::new(tokenizer.clone()), tokenizer }
    }

    fn compile(&self, grammar: &Grammar) -> Constraint {
        self.compiler
            .compile(grammar, &GrammarLimits::standard())
            .unwrap_or_else(|error| panic!("{grammar:?}: {error}"))
    }
}

/// Byte-level BPE, 49,152 tokens.
static SMOLLM2: LazyLock<Vocabulary> = LazyLock::new(|| Vocabulary::of("smollm2-135m-instruct"));
/// SentencePiece, 262,144 tokens.
static GEMMA: LazyLock<Vocabulary> = LazyLock::new(|| Vocabulary::of("gemma-3-270m"));

#[track_caller]
fn check_random_schemas(vocabulary: &Vocabulary, count: u64, walks: u64) {
    let mut generator = SchemaGenerator::new(1, 3);
    let mut complete = 0;
    for seed in 0..count {
        let schema = generator.next_schema();
        let grammar = Grammar::JsonSchema(schema.to_string());
        let compiled = vocabulary.compile(&grammar);
        for round in 0..walks {
            let walk = walk(&mut compiled.clone(), &vocabulary.tokenizer, seed * 100 + round, 600);
            if walk.complete {
                complete += 1;
                let text = String::from_utf8(walk.bytes).unwrap();
                judge(&schema, &text).unwrap_or_else(|problem| panic!("{problem}\n{text}\nunder {schema}"));
            }
        }
    }
    assert!(complete * 10 >= count * walks * 9, "only {complete} of {} walks came to an end", count * walks);
}

#[test]
fn whatever_smollm2_draws_is_valid_under_random_schemas() {
    check_random_schemas(&SMOLLM2, 60, 4);
}

#[test]
fn whatever_gemma_draws_is_valid_under_random_schemas() {
    check_random_schemas(&GEMMA, 30, 2);
}

/// Draws texts under `grammar` with both families of vocabularies and has each judged.
#[track_caller]
fn check(grammar: &Grammar, judge: impl Fn(&str) -> Result<(), String>) {
    for vocabulary in [&*SMOLLM2, &*GEMMA] {
        let compiled = vocabulary.compile(grammar);
        let mut complete = 0;
        for seed in 0..12 {
            let walk = walk(&mut compiled.clone(), &vocabulary.tokenizer, seed, 400);
            if walk.complete {
                complete += 1;
                let text = String::from_utf8(walk.bytes).unwrap();
                judge(&text)
                    .unwrap_or_else(|problem| panic!("{}: {problem}\n{text}\nunder {grammar:?}", vocabulary.name));
            }
        }
        assert!(complete > 0, "{}: no walk came to an end under {grammar:?}", vocabulary.name);
    }
}

#[track_caller]
fn check_schema(schema: &Value) {
    check(&Grammar::JsonSchema(schema.to_string()), |text| judge(schema, text));
}

#[track_caller]
fn check_regex(pattern: &str) {
    let judge = regex::Regex::new(&format!("^(?:{pattern})$")).unwrap();
    check(&Grammar::Regex(pattern.to_owned()), |text| match judge.is_match(text) {
        true => Ok(()),
        false => Err("does not match".to_owned()),
    });
}

#[test]
fn objects_hold_under_every_keyword_for_them() {
    check_schema(&json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"],
        "additionalProperties": {"type": "string", "maxLength": 3}, "maxProperties": 3}));
    check_schema(
        &json!({"type": "object", "patternProperties": {"^x[0-9]$": {"type": "boolean"}}, "additionalProperties": false}),
    );
    check_schema(&json!({"type": "object", "properties": {"a": {"const": 1}, "b": {"const": 2}},
        "additionalProperties": false, "minProperties": 1}));
    check_schema(
        &json!({"type": "object", "required": ["a", "b"], "additionalProperties": {"type": "null"}, "maxProperties": 2}),
    );
    check_schema(
        &json!({"properties": {"a": {"type": "null"}}, "type": "object", "required": ["a"], "additionalProperties": false}),
    );
    check_schema(&json!({"type": "object"}));
    check(&Grammar::JsonObject, |text| judge(&json!({"type": "object"}), text));
}

/// A key that is spelled with escapes is the same key.
#[test]
fn no_key_gets_past_its_schema_by_its_spelling() {
    let schema =
        json!({"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": {"type": "string"}});
    let compiled = SMOLLM2.compile(&Grammar::JsonSchema(schema.to_string()));
    for text in ["{\"\\u0061\":\"x\"}", "{\"a\":\"x\"}", "{\"a\":1,\"a\":2}", "{ \"a\":1}"] {
        assert_ne!(accepted_bytes(&mut compiled.clone(), text), text.len(), "{text}");
    }
    let text = "{\"a\":1,\"b\":\"\\n🙂\"}";
    assert_eq!(accepted_bytes(&mut compiled.clone(), text), text.len());
}

#[test]
fn numbers_come_to_an_end() {
    let accepted = |schema: Value, text: &str| {
        accepted_bytes(&mut SMOLLM2.compile(&Grammar::JsonSchema(schema.to_string())), text) == text.len()
    };
    for text in ["1e999", "12345678901234567890", "-9007199254740992"] {
        assert!(!accepted(json!({"type": "number"}), text), "{text}");
        assert!(!accepted(json!({"type": ["integer", "null"]}), text), "{text}");
        assert!(
            !accepted(
                json!({"properties": {"a": {"type": "integer", "minimum": 5}}, "type": "object"}),
                &format!("{{\"a\":{text}")
            ),
            "{text}"
        );
    }
    for text in ["-9007199254740991", "0", "90071992547409"] {
        assert!(accepted(json!({"type": "number"}), text) && accepted(json!({"type": "integer"}), text), "{text}");
    }
    assert!(accepted(json!({"type": "integer", "minimum": 9_007_199_254_740_991_i64}), "12345678901234567890"));
}

#[test]
fn digits_behind_a_point_come_to_an_end() {
    let id = |text: &str| SMOLLM2.tokenizer.encode(text, Specials::AsText)[0];
    let mut constraint = SMOLLM2.compile(&Grammar::JsonSchema(json!({"type": "array"}).to_string()));
    "[0.".chars().for_each(|c| constraint.accept(id(&c.to_string())).unwrap());
    let written =
        (0..1000).take_while(|_| constraint.mask().unwrap().contains(id("0")) && constraint.accept(id("0")).is_ok());
    assert_eq!(written.count(), 32);
    let mask = constraint.mask().unwrap();
    assert!(mask.contains(id("]")) && mask.contains(id(",")));
    constraint.rollback(1).unwrap();
    assert!(constraint.mask().unwrap().contains(id("7")));
    // A regular expression says itself where digits end, and where they must go on they do.
    for grammar in
        [Grammar::Regex("[0-9]{60}".to_owned()), Grammar::JsonSchema(json!({"const": "0".repeat(60)}).to_string())]
    {
        let mut constraint = SMOLLM2.compile(&grammar);
        if matches!(grammar, Grammar::JsonSchema(_)) {
            constraint.accept(id("\"")).unwrap();
        }
        (0..60).for_each(|_| assert!(constraint.mask().unwrap().count() > 0 && constraint.accept(id("0")).is_ok()));
    }
}

/// How many bytes of `text`, cut as the tokenizer cuts it, can be accepted.
fn accepted_bytes(constraint: &mut Constraint, text: &str) -> usize {
    let ids = SMOLLM2.tokenizer.encode(text, Specials::AsText);
    let allowed = constraint.allows(&ids).unwrap();
    ids[..allowed].iter().map(|&id| SMOLLM2.tokenizer.token_bytes(id).len()).sum()
}

#[test]
fn arrays_and_combinations_hold() {
    check_schema(
        &json!({"type": "array", "items": {"type": "integer", "minimum": -5, "maximum": 5}, "minItems": 2, "maxItems": 6}),
    );
    check_schema(
        &json!({"type": "array", "prefixItems": [{"const": "a"}, {"type": "null"}], "items": {"type": "boolean"}, "maxItems": 5}),
    );
    check_schema(&json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": "array",
        "items": [{"type": "null"}, {"type": "boolean"}], "additionalItems": {"const": 0}, "maxItems": 4}));
    check_schema(&json!({"allOf": [{"type": "integer", "minimum": 3}, {"maximum": 9}, {"multipleOf": 2}]}));
    check_schema(&json!({"allOf": [
        {"type": "object", "properties": {"a": {"type": "null"}}, "required": ["a"]},
        {"type": "object", "properties": {"b": {"type": "boolean"}}, "required": ["b"]}], "maxProperties": 4}));
    check_schema(&json!({"oneOf": [{"type": "string", "maxLength": 4}, {"type": "boolean"}, {"type": "null"}]}));
    check_schema(&json!({"oneOf": [
        {"type": "object", "properties": {"t": {"const": "a"}, "v": {"type": "null"}}, "required": ["t"], "additionalProperties": false},
        {"type": "object", "properties": {"t": {"const": "b"}, "w": {"type": "boolean"}}, "required": ["t"], "additionalProperties": false}]}));
    check_schema(
        &json!({"anyOf": [{"enum": [1, "one", null, [1, 2], {"k": []}]}, {"type": "number", "minimum": 0.25, "maximum": 0.75}]}),
    );
}

#[test]
fn references_hold_recursively() {
    check_schema(&json!({"$ref": "#/$defs/tree", "$defs": {"tree": {"type": "object", "properties": {
        "v": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]}},
        "required": ["v", "next"], "additionalProperties": false}}}));
    check_schema(&json!({"type": "array", "items": {"$ref": "#"}, "maxItems": 2}));
}

#[test]
fn strings_and_numbers_hold() {
    for schema in [
        json!({"type": "string", "minLength": 3, "maxLength": 5}),
        json!({"type": "string", "pattern": "é+|[α-ω]{2}", "maxLength": 6}),
        json!({"type": "string", "pattern": "^[\\w.-]+/[0-9]\\\\$", "maxLength": 12}),
        json!({"type": "string", "format": "uri", "maxLength": 20}),
        json!({"type": "string", "format": "ipv6"}),
        json!({"type": "integer"}),
        json!({"type": "number"}),
        json!({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}),
        json!({"type": "number", "multipleOf": 0.25, "minimum": -10, "maximum": 10}),
        json!({"type": "integer", "minimum": 9_007_199_254_740_000_i64}),
        json!({"const": 9_007_199_254_740_991_i64}),
        json!({"const": -0.1}),
        json!({"enum": ["tab\t", "quote\"", "back\\slash", "日本語", "🙂", "", "a/b"]}),
    ] {
        check_schema(&schema);
    }
}

#[test]
fn regular_expressions_hold() {
    for pattern in [
        "(yes|no|maybe)",
        "[0-9]{3}-[0-9]{4}",
        r"\d+(\.\d{1,2})?",
        "a*b+c?",
        "(?i)hello( world)?",
        r"https?://[a-z]{2,10}\.(com|org)/[a-z/]{0,20}",
        "[^a-z]{1,4}",
        "é|ü{2}|日本|🙂+",
        r"\p{Greek}{1,5}",
        ".{1,8}",
        "(a|b)*abb",
        r"\{[a-z]+\}",
        r"\\x\\",
        "[ab\n]{3}",
        "(?s:.){2}",
        "a{3,}",
    ] {
        check_regex(pattern);
    }
}

#[test]
fn lark_grammars_hold() {
    let sum =
        "start: sum\nsum: product (\"+\" product)*\nproduct: atom (\"*\" atom)*\natom: /[0-9]{1,3}/ | \"(\" sum \")\"";
    check(&Grammar::Lark(sum.to_owned()), |text| {
        let balanced = text.chars().try_fold(0i32, |depth, c| match c {
            '(' => Some(depth + 1),
            ')' => (depth > 0).then_some(depth - 1),
            '0'..='9' | '+' | '*' => Some(depth),
            _ => None,
        });
        if balanced == Some(0) && !text.contains("()") { Ok(()) } else { Err("is no sum".to_owned()) }
    });
    let steps = "start: step+\nstep: \"- \" WORD \"\\n\"\nWORD: /[a-z]{1,10}/  # a <word>, not @all of it [stop=x]:";
    check(&Grammar::Lark(steps.to_owned()), |text| {
        let good = text
            .lines()
            .all(|line| line.strip_prefix("- ").is_some_and(|word| word.chars().all(|c| c.is_ascii_lowercase())));
        if good && text.ends_with('\n') { Ok(()) } else { Err("is no list".to_owned()) }
    });
    let tags = "start: \"<a>\" inner \"</a>\"\ninner: /[^<]{0,10}/ | start";
    check(&Grammar::Lark(tags.to_owned()), |text| {
        let (open, close) = (text.matches("<a>").count(), text.matches("</a>").count());
        if open == close && open > 0 { Ok(()) } else { Err("does not nest".to_owned()) }
    });
}

#[test]
fn forced_tokens_are_what_masks_force() {
    let schema = json!({"type": "object", "properties": {"temperature_celsius": {"type": "integer"}, "größe": {"enum": ["extra large"]}},
        "required": ["temperature_celsius", "größe"], "additionalProperties": false});
    for vocabulary in [&*SMOLLM2, &*GEMMA] {
        let mut constraint = vocabulary.compile(&Grammar::JsonSchema(schema.to_string()));
        let mut forced_tokens = 0;
        for seed in 0..60u32 {
            if constraint.is_finished() {
                break;
            }
            let forced = constraint.forced().unwrap();
            let mut by_mask = constraint.clone();
            for &id in &forced {
                assert_eq!(by_mask.mask().unwrap().single(), Some(id), "{}", vocabulary.name);
                by_mask.accept(id).unwrap();
            }
            assert_eq!(constraint.allows(&forced), Ok(forced.len()));
            forced_tokens += forced.len();
            constraint = by_mask;
            if !constraint.is_finished() {
                let allowed: Vec<u32> = constraint.mask().unwrap().iter().collect();
                constraint.accept(allowed[seed as usize * 7919 % allowed.len()]).unwrap();
            }
        }
        assert!(constraint.is_finished(), "{}", vocabulary.name);
        assert!(forced_tokens >= 10, "{}: {forced_tokens}", vocabulary.name);
    }
}

#[test]
fn forced_text_is_cut_as_the_model_cuts_it() {
    let text = "{\"temperature\":\"extra large\"}";
    let schema = json!({"type": "object", "properties": {"temperature": {"const": "extra large"}}, "required": ["temperature"],
        "additionalProperties": false});
    for vocabulary in [&*SMOLLM2, &*GEMMA] {
        let mut constraint = vocabulary.compile(&Grammar::JsonSchema(schema.to_string()));
        assert_eq!(constraint.forced().unwrap(), vocabulary.tokenizer.encode(text, Specials::AsText));
    }
}

#[test]
fn rollback_returns_to_the_mask_that_was() {
    let mut generator = SchemaGenerator::new(7, 2);
    for seed in 0..20 {
        let mut constraint = SMOLLM2.compile(&Grammar::JsonSchema(generator.next_schema().to_string()));
        let ids = walk(&mut constraint.clone(), &SMOLLM2.tokenizer, seed, 60).ids;
        let mut masks = vec![constraint.mask().unwrap().clone()];
        for &id in &ids {
            constraint.accept(id).unwrap();
            masks.push(constraint.mask().unwrap().clone());
        }
        let end = SMOLLM2.tokenizer.eos().unwrap();
        let ended = constraint.accept(end).is_ok();
        for back in 1..=ids.len() {
            let mut constraint = constraint.clone();
            constraint.rollback(back + usize::from(ended)).unwrap();
            assert_eq!(constraint.mask().unwrap(), &masks[ids.len() - back], "{back} back");
            assert_eq!(constraint.accepted(), ids.len() - back);
        }
        let length = constraint.accepted();
        assert_eq!(constraint.rollback(length + 1), Err(GrammarError::Rollback { asked: length + 1, length }));
        constraint.rollback(length).unwrap();
        assert_eq!(constraint.masks_along(&ids).unwrap(), masks);
        assert_eq!(constraint.accepted(), 0);
    }
}

#[test]
fn every_end_of_generation_ends_and_none_does_before_the_grammar() {
    let ends: Vec<u32> =
        ["<|im_end|>", "<|endoftext|>"].map(|text| SMOLLM2.tokenizer.encode(text, Specials::Parse)[0]).to_vec();
    let mut constraint = SMOLLM2.compile(&Grammar::Regex("a{1,3}".to_owned()));
    let a = SMOLLM2.tokenizer.encode("a", Specials::AsText)[0];
    assert!(!constraint.may_stop());
    for &end in &ends {
        assert!(!constraint.mask().unwrap().contains(end));
        assert_eq!(constraint.accept(end), Err(GrammarError::NotAllowed { id: end }));
        assert_eq!(constraint.allows(&[a, end, end, a]), Ok(3));
        assert_eq!(constraint.allows(&[end]), Ok(0));
    }
    constraint.accept(a).unwrap();
    assert!(constraint.may_stop() && !constraint.is_finished());
    for &end in &ends {
        assert!(constraint.mask().unwrap().contains(end));
        constraint.accept(end).unwrap();
        assert!(constraint.is_finished());
        assert_eq!(constraint.accept(a), Err(GrammarError::NotAllowed { id: a }));
        assert_eq!(constraint.mask().unwrap().iter().filter(|id| ends.contains(id)).count(), 2);
        constraint.rollback(1).unwrap();
    }
    constraint.accept(a).unwrap();
    constraint.accept(a).unwrap();
    assert!(constraint.is_finished(), "nothing can follow");
    assert!(constraint.mask().unwrap().contains(ends[0]) && !constraint.mask().unwrap().contains(a));
}

#[test]
fn control_tokens_and_ids_past_the_vocabulary_are_never_allowed() {
    for vocabulary in [&*SMOLLM2, &*GEMMA] {
        let mut constraint = vocabulary.compile(&Grammar::Regex("(?s:.)*".to_owned()));
        let size = vocabulary.tokenizer.vocab_size() as u32;
        let mask = constraint.mask().unwrap().clone();
        for id in (0..size).filter(|&id| vocabulary.tokenizer.token_bytes(id).is_empty()) {
            assert_eq!(mask.contains(id), vocabulary.tokenizer.is_end_of_generation(id), "{id}");
        }
        assert!(mask.count() * 10 > size as usize * 9, "{} of {size}", mask.count());
        for id in [size, size + 1, u32::MAX] {
            assert!(!mask.contains(id));
            assert_eq!(constraint.accept(id), Err(GrammarError::NotAllowed { id }));
        }
        constraint.mask().unwrap();
    }
}

#[test]
fn a_character_may_be_cut_over_tokens_but_not_left_open() {
    let mut constraint = SMOLLM2.compile(&Grammar::Regex("(한|🙂)+".to_owned()));
    let ids = SMOLLM2.tokenizer.encode("한🙂", Specials::AsText);
    assert!(ids.len() > 3, "one token a character shows nothing");
    let mut bytes = Vec::new();
    for id in ids {
        constraint.accept(id).unwrap();
        bytes.extend_from_slice(SMOLLM2.tokenizer.token_bytes(id));
        assert_eq!(constraint.may_stop(), std::str::from_utf8(&bytes).is_ok());
    }
}

#[track_caller]
fn check_refused(grammar: &Grammar, says: &str) {
    let error = SMOLLM2.compiler.compile(grammar, &GrammarLimits::standard()).err();
    let error = error.unwrap_or_else(|| panic!("{grammar:?} was taken")).to_string();
    assert!(error.contains(says), "{error}");
}

#[track_caller]
fn check_schema_refused(schema: Value, says: &str) {
    check_refused(&Grammar::JsonSchema(schema.to_string()), says);
}

#[test]
fn what_cannot_be_enforced_is_refused_with_its_place() {
    for key in [
        "not",
        "if",
        "uniqueItems",
        "contains",
        "propertyNames",
        "dependentRequired",
        "unevaluatedProperties",
        "x-guidance",
        "nullable",
        "maxlength",
        "$dynamicRef",
        "additionalItems",
        "$anchor",
    ] {
        check_schema_refused(
            json!({"type": "object", "properties": {"a": {key: {}}}}),
            &format!("#/properties/a: `{key}`"),
        );
    }
    check_schema_refused(json!({"x-guidance": {"lenient": true}, "type": "object"}), "x-guidance");
    check_schema_refused(json!({"items": [{"type": "null"}]}), "#/items: must be an object or a boolean");
    check_schema_refused(json!({"properties": {"a": {"$ref": "https://example.org/s.json"}}}), "#/properties/a/$ref");
    check_schema_refused(json!({"$ref": "#/$defs/missing"}), "there is no schema at");
    check_schema_refused(
        json!({"properties": {"a": {"enum": [{"type": "null"}]}, "b": {"$ref": "#/properties/a/enum/0"}}}),
        "no schema at",
    );
    check_schema_refused(json!({"$schema": "http://json-schema.org/draft-04/schema#", "const": 1}), "draft-04");
    check_schema_refused(json!({"properties": {"a": {"$id": "https://example.org/"}}}), "`$id`");
    check_schema_refused(json!({"const": 9_007_199_254_740_993_i64}), "2^53");
    check_schema_refused(json!({"enum": ["\u{1}"]}), "control character");
    check_schema_refused(json!({"type": "object", "minProperties": 2}), "minProperties");
    check_schema_refused(json!({"type": "string", "format": "colour"}), "colour");
    check_schema_refused(json!({"type": "string", "pattern": "a\\"}), "backslash");
    check_schema_refused(json!({"type": "string", "pattern": "(?=a)b"}), "look-around");
    check_schema_refused(json!({"oneOf": [{"type": "integer"}, {"type": "number", "minimum": 0}]}), "oneOf");
    check_schema_refused(json!({"type": "strng"}), "strng");
    check_schema_refused(json!({"type": "string", "minLength": 3, "maxLength": 2}), "minLength");
    check_schema_refused(json!({"$ref": "#"}), "nothing can be written");
    check_schema_refused(json!(false), "nothing can be written");
    check_refused(&Grammar::JsonSchema("{\"type\": }".to_owned()), "line 1 column 10");
}

#[test]
fn bad_regular_expressions_and_grammars_are_refused_with_the_reason() {
    for (pattern, says) in [
        ("(a", "unclosed group"),
        ("", "empty"),
        ("a\\", "backslash"),
        ("(?=a)", "look-around"),
        (r"\bword", "regex"),
        (r"(a)\1", "backreference"),
    ] {
        check_refused(&Grammar::Regex(pattern.to_owned()), says);
    }
    for (grammar, says) in [
        ("start: \"a\" missing", "missing"),
        ("begin: \"a\"", "start"),
        ("start: \"a\n", "1("),
        ("start: a\na: %json {\"not\": {\"type\": \"string\"}}", "`not` cannot be enforced"),
        ("start: a\na: %json {\"type\": \"string\"} @other", "other grammars"),
        ("start: a\na: %json {\"type\"", "not JSON"),
        ("%llguidance {\"allow_invalid_utf8\": true}\nstart: /a/", "line 1"),
        ("start: <|im_start|> /a/", "special tokens"),
        ("start: <[5]> /a/", "special tokens"),
        ("start: @other", "other grammars"),
        ("start: a\na[stop=\"x\"]: /b*/", "line 2: attributes"),
        ("start: a\na[capture, max_tokens=3]: /b*/", "line 2: attributes"),
    ] {
        check_refused(&Grammar::Lark(grammar.to_owned()), says);
    }
}

#[test]
fn a_schema_within_a_grammar_is_enforced_with_its_own_references() {
    let schema = json!({"$ref": "#/$defs/it", "$defs": {"it": {"const": {"%json": ["\"", 1]}}}});
    let source = format!("start: \"call %json \" a \"!\"\na: %json {schema}\n");
    let mut constraint = SMOLLM2.compile(&Grammar::Lark(source));
    let forced = constraint.forced().unwrap();
    assert_eq!(SMOLLM2.tokenizer.decode(&forced), r#"call %json {"%json":["\"",1]}!"#);
}

/// Compiles and draws some tokens; all of that has to end soon, with or without an error.
#[track_caller]
fn check_bounded(name: &str, grammar: &Grammar) {
    let start = Instant::now();
    let outcome = SMOLLM2.compiler.compile(grammar, &GrammarLimits::standard());
    let compile = start.elapsed();
    let (mut slowest, mut error) = (Duration::ZERO, outcome.as_ref().err().map(ToString::to_string));
    if let Ok(mut constraint) = outcome {
        for seed in 0..100u64 {
            let start = Instant::now();
            let mask = match constraint.mask() {
                Ok(mask) => mask.clone(),
                Err(problem) => {
                    error = Some(problem.to_string());
                    break;
                }
            };
            let mut allowed: Vec<u32> = mask.iter().filter(|&id| !SMOLLM2.tokenizer.is_end_of_generation(id)).collect();
            if allowed.is_empty() {
                allowed = mask.iter().collect();
            }
            let id = allowed[(seed * 7919 + 13) as usize % allowed.len()];
            if let Err(problem) = constraint.accept(id) {
                error = Some(problem.to_string());
                break;
            }
            slowest = slowest.max(start.elapsed());
            if constraint.is_finished() {
                error = Some("finished".to_owned());
                break;
            }
        }
    }
    let error = error.map(|error| error.chars().take(120).collect::<String>());
    eprintln!("{name}: compile {compile:?}, slowest step {slowest:?}, {} MiB, {error:?}", resident_mib());
    // Wall time on a machine that may be busy; a second is usual.
    assert!(compile < Duration::from_secs(20), "{name}: {compile:?}");
    assert!(slowest < Duration::from_secs(5), "{name}: {slowest:?}");
}

#[test]
fn hostile_grammars_end_within_their_limits() {
    SMOLLM2.compile(&Grammar::JsonObject);
    let schema = |schema: Value| Grammar::JsonSchema(schema.to_string());
    let properties =
        |schema: Value| (0..3000).map(|i| (format!("p{i}"), schema.clone())).collect::<serde_json::Map<_, _>>();
    let nested = |open: &str, close: &str, depth| open.repeat(depth) + "1" + &close.repeat(depth);
    let rules = (0..4000).map(|i| format!("r{i}: r{}", i + 1)).collect::<Vec<_>>().join("\n");
    let doubling = (0..40).map(|i| format!("r{i}: r{0} r{0}", i + 1)).collect::<Vec<_>>().join("\n");
    let names: Vec<String> = (0..4000).map(|i| format!("value {i}")).collect();
    for (name, grammar) in [
        ("too long", Grammar::Regex("a".repeat(70_000))),
        ("long literal", Grammar::Regex("a".repeat(60_000))),
        ("counted", Grammar::Regex("((a{1,100}){1,100}){1,100}".to_owned())),
        ("huge count", Grammar::Regex("(ab|c){1,1000000}".to_owned())),
        ("exponential automaton", Grammar::Regex("(a|b)*a(a|b){60}".to_owned())),
        ("exponential search", schema(json!({"type": "string", "pattern": "(a|b)*a(a|b){60}"}))),
        ("unicode classes", Grammar::Regex(r"(\p{L}|\p{N}|\w){1,500}x".to_owned())),
        ("nested groups", Grammar::Regex(nested("(", ")", 20_000))),
        ("deep lark", Grammar::Lark(format!("start: {}", nested("(", ")", 20_000).replace('1', "\"a\"")))),
        ("nots", Grammar::Lark(format!("start: A\nA: {}/a/", "~".repeat(60_000)))),
        ("rule chain", Grammar::Lark(format!("start: r0\n{rules}\nr4000: \"a\""))),
        ("doubling", Grammar::Lark(format!("start: r0\n{doubling}\nr40: \"a\""))),
        ("ambiguous", Grammar::Lark("start: s\ns: s s | \"a\" | \"\"".to_owned())),
        ("many ambiguous", Grammar::Lark("start: e\ne: e \"+\" e | e e e | /[a-z]+/ | \"(\" e \")\"".to_owned())),
        ("repeat", Grammar::Lark("start: (\"a\" | \"b\"){1,100000}".to_owned())),
        ("deep schema", Grammar::JsonSchema(nested("{\"items\":", "}", 5_000))),
        ("nested schema", Grammar::JsonSchema(nested("{\"items\":", "}", 60).replace('1', "{}"))),
        (
            "many required",
            schema(
                json!({"type": "object", "properties": properties(json!({"type": "null"})), "additionalProperties": false}),
            ),
        ),
        ("many open", schema(json!({"type": "object", "properties": properties(json!(true))}))),
        ("many values", schema(json!({"enum": names}))),
        ("many items", schema(json!({"type": "array", "minItems": 1_000_000_000}))),
        ("few items", schema(json!({"type": "array", "items": {"type": "integer"}, "maxItems": 1_000_000_000}))),
        ("long string", schema(json!({"type": "string", "minLength": 1_000_000_000}))),
        ("string to", schema(json!({"type": "string", "maxLength": 100_000}))),
        ("pattern to", schema(json!({"type": "string", "pattern": "[a-z]*x", "maxLength": 100_000}))),
        ("multiple", schema(json!({"type": "integer", "multipleOf": 1_000_003}))),
        (
            "combinations",
            schema(json!({"allOf": (0..12).map(|i| json!({"anyOf": [
            {"properties": {format!("a{i}"): {"const": 1}}}, {"properties": {format!("b{i}"): {"const": 2}}}, {"type": "null"}]})).collect::<Vec<_>>()})),
        ),
    ] {
        check_bounded(name, &grammar);
    }
}

/// Pages are of 4 KiB.
fn resident_mib() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() / 256
}
