//! What the engine promises of the texts it writes, held on a real model: nothing but prompt, options and seed decides them.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::{Arc, LazyLock};

use synod_models::{
    engine::{Compute, Engine, EngineError, EngineOptions, Event, Events, Finished, Sampling, SequenceOptions},
    grammar::Grammar,
    store::{CancelToken, Silent, Store},
    text::Specials,
};

const MODEL: &str = "smollm2-135m-instruct";

static ENGINE: LazyLock<Engine> = LazyLock::new(|| load(EngineOptions::standard()));

fn load(options: EngineOptions) -> Engine {
    static COMPUTE: LazyLock<Arc<Compute>> = LazyLock::new(|| Compute::new(0));
    let store = Store::open().unwrap();
    let model = store.pull(MODEL, &Silent, &CancelToken::new()).unwrap();
    Engine::load(model.weights(), &COMPUTE, options).unwrap()
}

fn options(max_tokens: usize) -> SequenceOptions {
    SequenceOptions {
        sampling: Sampling::greedy(),
        max_tokens,
        stop: Vec::new(),
        ignore_end: true,
        top_logprobs: 0,
        grammar: None,
        prompt_lookup: true,
    }
}

fn sampled(seed: u64) -> SequenceOptions {
    let sampling = Sampling { temperature: 0.8, top_k: 40, top_p: 0.95, seed, ..Sampling::greedy() };
    SequenceOptions { sampling, ..options(40) }
}

/// A text of about `tokens` tokens; texts of different seeds differ from the first word on.
fn prompt(engine: &Engine, seed: usize, tokens: usize) -> Vec<u32> {
    let words = ["river", "stone", "lamp", "seven", "blue", "walks", "the", "over", "and", "quiet", "engine", "leaf"];
    let mut state = seed * 2_654_435_761 + 12_345;
    let mut text = format!("Story {seed}:");
    for _ in 0..tokens {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text += " ";
        text += words[(state >> 33) % words.len()];
    }
    let mut ids = engine.tokenizer().encode(&text, Specials::AsText);
    ids.truncate(tokens);
    ids
}

fn start(engine: &Engine, ids: &[u32], options: SequenceOptions) -> Events {
    let mut sequence = engine.open(options).unwrap();
    sequence.prompt.append(ids).unwrap();
    sequence.prompt.finish().unwrap();
    sequence.events
}

fn read(mut events: Events) -> Result<(Vec<u32>, Finished), EngineError> {
    let mut ids = Vec::new();
    while let Some(event) = events.blocking_next() {
        match event? {
            Event::Token(token) => ids.push(token.id),
            Event::Finished(finished) => return Ok((ids, finished)),
        }
    }
    unreachable!("a sequence ends with an event")
}

fn run(engine: &Engine, ids: &[u32], options: SequenceOptions) -> (Vec<u32>, Finished) {
    read(start(engine, ids, options)).unwrap()
}

/// Long enough for the engine to compute what it was given.
#[allow(clippy::disallowed_methods, reason = "nothing tells how far a prompt was computed, and a part must come late")]
fn pause() {
    std::thread::sleep(std::time::Duration::from_millis(50));
}

#[test]
fn a_second_request_computes_only_what_the_first_did_not() {
    let engine = load(EngineOptions::standard());
    let mut ids = prompt(&engine, 1, 1000);
    let (_, first) = run(&engine, &ids, options(4));
    assert_eq!(first.cached_prompt_tokens, 0);
    let alone = load(EngineOptions::standard());
    ids.extend(prompt(&engine, 2, 50));
    let (text, second) = run(&engine, &ids, options(20));
    assert_eq!((second.cached_prompt_tokens, second.prompt_tokens), (1000, 1050));
    assert_eq!(text, run(&alone, &ids, options(20)).0, "what is reused equals what is computed");
}

#[test]
fn requests_that_come_together_compute_their_common_beginning_once() {
    let engine = load(EngineOptions::standard());
    let ids = prompt(&engine, 3, 200);
    let events: Vec<_> = (0..6).map(|seed| start(&engine, &ids, sampled(seed))).collect();
    let finished: Vec<_> = events.into_iter().map(|events| read(events).unwrap()).collect();
    let reused: usize = finished.iter().map(|(_, finished)| finished.cached_prompt_tokens).sum();
    assert_eq!(reused, 5 * 199);
    for (seed, (text, _)) in finished.iter().enumerate() {
        assert_eq!(*text, run(&ENGINE, &ids, sampled(seed as u64)).0, "seed {seed}");
    }
}

#[test]
fn parts_that_come_late_write_what_one_prompt_writes() {
    let ids = prompt(&ENGINE, 4, 300);
    let engine = load(EngineOptions::standard());
    let mut sequence = engine.open(options(30)).unwrap();
    for part in ids.chunks(77) {
        sequence.prompt.append(part).unwrap();
        pause();
    }
    sequence.prompt.finish().unwrap();
    let (text, _) = read(sequence.events).unwrap();
    assert_eq!(text, run(&ENGINE, &ids, options(30)).0);
}

#[test]
fn a_part_that_the_cache_holds_is_as_good_as_computed() {
    let ids = prompt(&ENGINE, 6, 90);
    let text = run(&ENGINE, &ids, options(20)).0;
    // All of the first part is known, so that nothing is computed before the second comes.
    let mut sequence = ENGINE.open(options(20)).unwrap();
    sequence.prompt.append(&ids[..40]).unwrap();
    pause();
    sequence.prompt.append(&ids[40..]).unwrap();
    sequence.prompt.finish().unwrap();
    let (again, finished) = read(sequence.events).unwrap();
    assert_eq!((again, finished.cached_prompt_tokens >= 39), (text, true));
}

#[test]
fn guesses_change_speed_but_not_text() {
    let mut ids = prompt(&ENGINE, 5, 60);
    ids.extend(ids.clone()); // something to find again
    ids.extend(&ids.clone()[..30]);
    let mut tried = 0;
    for options in [options(60), sampled(1), sampled(2)] {
        let plain = run(&ENGINE, &ids, SequenceOptions { prompt_lookup: false, ..options.clone() });
        let guessed = run(&ENGINE, &ids, options);
        assert_eq!(plain.0, guessed.0);
        assert_eq!(plain.1.lookup_tokens, 0);
        tried += guessed.1.lookup_accepted;
    }
    assert!(tried > 0, "nothing was guessed right, so nothing was tested");
}

#[test]
fn little_memory_makes_requests_wait_and_changes_nothing_else() {
    // Room for one context, about three of these sequences.
    let engine = load(EngineOptions { context_length: 1024, cache_bytes: 0, ..EngineOptions::standard() });
    let prompts: Vec<_> = (10..20).map(|seed| prompt(&engine, seed, 100 + 37 * (seed % 5))).collect();
    let events: Vec<_> = prompts.iter().map(|ids| start(&engine, ids, options(40))).collect();
    let texts: Vec<_> = events.into_iter().map(|events| read(events).unwrap().0).collect();
    for (ids, text) in prompts.iter().zip(texts) {
        assert_eq!(text, run(&ENGINE, ids, options(40)).0);
    }
}

#[test]
fn prompts_that_grow_into_each_others_memory_all_end() {
    let engine = load(EngineOptions { context_length: 512, cache_bytes: 0, ..EngineOptions::standard() });
    let prompts: Vec<_> = (20..24).map(|seed| prompt(&engine, seed, 400)).collect();
    let mut open: Vec<_> = prompts.iter().map(|_| engine.open(options(20)).unwrap()).collect();
    for part in 0..4 {
        for (sequence, ids) in open.iter_mut().zip(&prompts) {
            sequence.prompt.append(&ids[part * 100..][..100]).unwrap();
        }
        pause();
    }
    let events: Vec<_> =
        open.into_iter().map(|sequence| (sequence.prompt.finish().unwrap(), sequence.events).1).collect();
    for (ids, events) in prompts.iter().zip(events) {
        assert_eq!(read(events).unwrap().0, run(&ENGINE, ids, options(20)).0);
    }
}

fn constrained(grammar: Grammar, sampling: Sampling) -> SequenceOptions {
    SequenceOptions { sampling, grammar: Some(grammar), ignore_end: false, ..options(120) }
}

fn text_of(engine: &Engine, ids: &[u32]) -> String {
    engine.tokenizer().decode(ids)
}

#[test]
fn a_text_under_a_grammar_matches_it_whatever_else_runs() {
    let schema = r#"{"type":"object","properties":{"name":{"type":"string","maxLength":12},"age":{"type":"integer","minimum":0,"maximum":150},
        "kind":{"enum":["river","stone"]}},"required":["name","age","kind"],"additionalProperties":false}"#;
    let ids = prompt(&ENGINE, 30, 40);
    let free = start(&ENGINE, &ids, sampled(3));
    let events: Vec<_> = (0..4)
        .map(|seed| start(&ENGINE, &ids, constrained(Grammar::JsonSchema(schema.into()), sampled(seed).sampling)))
        .collect();
    for events in events {
        let (ids, finished) = read(events).unwrap();
        let text = text_of(&ENGINE, &ids);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(value["age"].as_i64().is_some_and(|age| (0..=150).contains(&age)), "{text}");
        assert!(["river", "stone"].contains(&value["kind"].as_str().unwrap()), "{text}");
        assert!(finished.forced_tokens > 5, "the names of the members are not asked for: {text}");
    }
    assert_eq!(read(free).unwrap().0, run(&load(EngineOptions::standard()), &ids, sampled(3)).0);
}

#[test]
fn guesses_under_a_grammar_change_nothing_either() {
    let ids = ENGINE.tokenizer().encode("Numbers: 11 22 33 44 11 22 33 44 11 22 33 44 11 22", Specials::AsText);
    let options = constrained(Grammar::Regex("( [0-9]{2}){3,30}".into()), Sampling::greedy());
    let plain = run(&ENGINE, &ids, SequenceOptions { prompt_lookup: false, ..options.clone() });
    let guessed = run(&ENGINE, &ids, options);
    assert_eq!(plain.0, guessed.0);
    assert!(guessed.1.lookup_accepted > 0);
    assert!(text_of(&ENGINE, &plain.0).split(' ').skip(1).all(|number| number.len() <= 2));
}

#[test]
fn a_grammar_that_is_none_is_refused_before_any_work() {
    let refused = |grammar| ENGINE.open(constrained(grammar, Sampling::greedy())).err().unwrap().to_string();
    assert!(refused(Grammar::Regex("(".into())).contains("regular expression"));
    assert!(refused(Grammar::JsonSchema("{".into())).contains("not JSON"));
}
