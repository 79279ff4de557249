//! A real model under random schemas: whatever it would rather say, what it writes is valid.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod schemas;

use synod_models::{
    engine::{Compute, Engine, EngineOptions, Event, Events, FinishReason, Sampling, SequenceOptions},
    grammar::Grammar,
    store::{CancelToken, Silent, Store},
    text::Specials,
};

const GENERATIONS: u64 = 500;
const TOGETHER: u64 = 8;

/// The whole text, and why it ended.
fn read(mut events: Events) -> (String, FinishReason) {
    let mut text = String::new();
    while let Some(event) = events.blocking_next() {
        match event.unwrap() {
            Event::Token(token) => text += &token.text,
            Event::Finished(finished) => return (text + &finished.text, finished.reason),
        }
    }
    unreachable!("a sequence ends with an event")
}

#[test]
fn five_hundred_generations_under_random_schemas_are_valid() {
    let store = Store::open().unwrap();
    let files = store.pull("smollm2-135m-instruct", &Silent, &CancelToken::new()).unwrap();
    let engine = Engine::load(files.weights(), &Compute::new(0), EngineOptions::standard()).unwrap();
    let prompt = engine.tokenizer().encode("Describe somebody as JSON, with invented values:\n", Specials::AsText);
    let mut generator = schemas::SchemaGenerator::new(7, 2);
    let (mut valid, mut cut): (u64, u64) = (0, 0);
    let mut first = 0;
    while valid < GENERATIONS {
        let schemas: Vec<_> = (0..TOGETHER).map(|_| generator.next_schema()).collect();
        let open = |(seed, schema): (u64, &serde_json::Value)| {
            let mut sequence = engine
                .open(SequenceOptions {
                    sampling: Sampling { temperature: 0.9, top_k: 40, seed, ..Sampling::greedy() },
                    max_tokens: 600,
                    stop: Vec::new(),
                    ignore_end: false,
                    top_logprobs: 0,
                    grammar: Some(Grammar::JsonSchema(schema.to_string())),
                    prompt_lookup: true,
                })
                .unwrap();
            sequence.prompt.append(&prompt).unwrap();
            sequence.prompt.finish().unwrap();
            sequence.events
        };
        let events: Vec<_> = (first..).zip(&schemas).map(open).collect();
        first += TOGETHER;
        for (events, schema) in events.into_iter().zip(&schemas) {
            let (text, reason) = read(events);
            // A number's digits have no end, and a small model may find none: such a text says that it was cut.
            if reason == FinishReason::Length {
                cut += 1;
                continue;
            }
            schemas::judge(schema, &text).unwrap();
            valid += 1;
        }
    }
    assert!(cut * 20 < GENERATIONS, "{cut} of {GENERATIONS} were cut by their length");
}
