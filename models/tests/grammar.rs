//! Constrained decoding over the real vocabularies, with a model that draws any allowed token.
//!
//! Fetches the models it needs into the store.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "helpers of tests")]

mod schemas;
mod walk;

use std::{
    sync::{Arc, LazyLock},
    time::Instant,
};

use schemas::{SchemaGenerator, judge};
use serde_json::json;
use synod_models::{
    gguf::GgufFile,
    grammar::{Grammar, GrammarCompiler, GrammarLimits},
    store::{CancelToken, Silent, Store},
    text::Tokenizer,
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

    fn compile(&self, grammar: &Grammar) -> synod_models::grammar::Constraint {
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

#[test]
#[ignore = "prints figures"]
fn what_masks_cost() {
    for vocabulary in [&*SMOLLM2, &*GEMMA] {
        let before = resident_mib();
        let start = Instant::now();
        vocabulary.compile(&Grammar::JsonObject);
        eprintln!("{}: prepared in {:?}, {} MiB", vocabulary.name, start.elapsed(), resident_mib() - before);
        let person = json!({"type": "object", "properties": {
            "name": {"type": "string"}, "age": {"type": "integer"}, "tags": {"type": "array", "items": {"type": "string"}},
            "address": {"type": "object", "properties": {"street": {"type": "string"}, "zip": {"type": "string", "pattern": "^\\d{5}$"}},
                "required": ["street", "zip"], "additionalProperties": false}},
            "required": ["name", "age", "tags", "address"], "additionalProperties": false});
        let bounded = json!({"type": "object", "properties": {
            "title": {"type": "string", "maxLength": 60}, "score": {"type": "number", "minimum": 0, "maximum": 10},
            "kind": {"enum": ["bug", "feature", "question"]}, "when": {"type": "string", "format": "date-time"}},
            "required": ["title", "score", "kind", "when"], "additionalProperties": false});
        let cases = [
            ("any object", Grammar::JsonObject),
            ("person", Grammar::JsonSchema(person.to_string())),
            ("bounded", Grammar::JsonSchema(bounded.to_string())),
            ("regex", Grammar::Regex(r"[A-Z][a-z]+( [A-Z][a-z]+){1,3}, born [0-9]{4}".to_owned())),
            ("arithmetic", Grammar::Lark("start: sum\nsum: product (\"+\" product)*\nproduct: atom (\"*\" atom)*\natom: /[0-9]{1,6}/ | \"(\" sum \")\"".to_owned())),
        ];
        for (name, grammar) in cases {
            let start = Instant::now();
            let compiled = vocabulary.compile(&grammar);
            let compile = start.elapsed();
            let mut times = Vec::new();
            for seed in 0..20 {
                let mut constraint = vocabulary.compile(&grammar);
                let walk = walk(&mut compiled.clone(), &vocabulary.tokenizer, seed, 200);
                constraint = if seed == 0 { constraint } else { compiled.clone() };
                for id in walk.ids {
                    constraint.accept(id).unwrap();
                    let start = Instant::now();
                    if constraint.mask().is_ok() {
                        times.push(start.elapsed());
                    }
                }
            }
            times.sort_unstable();
            let mean = times.iter().sum::<std::time::Duration>() / times.len() as u32;
            eprintln!(
                "  {name}: compile {compile:?}, {} masks, mean {mean:?}, p99 {:?}, max {:?}",
                times.len(),
                times[times.len() * 99 / 100],
                times[times.len() - 1]
            );
        }
    }
}

fn resident_mib() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096 >> 20
}
