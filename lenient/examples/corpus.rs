//! What the readers make of many outputs: `cargo run --release -p synod-lenient --example corpus FILE [KIND]`.
//!
//! FILE has a JSON object a line: `{"format": "json" | "yaml", "text": …}`. With KIND (`unread`, `doubt`, `repaired`,
//! `differs`) the outputs that are of it are printed, each with what was read; `conserved.py` holds these against the texts.
// clippy.toml allows these in tests, but does not see that an example is none.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeMap;

use serde_json::{Value, json};
use synod_lenient::{Read, Unread, json as read_json, tolerant, yaml as read_yaml};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let file = std::fs::read_to_string(arguments.next().unwrap_or_default()).unwrap();
    let shown = arguments.next();
    let mut counts: BTreeMap<String, BTreeMap<&str, usize>> = BTreeMap::new();
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for line in file.lines() {
        let output: Value = serde_json::from_str(line).unwrap();
        let (format, text) = (output["format"].as_str().unwrap(), output["text"].as_str().unwrap());
        let read = if format == "json" { read_json(text) } else { read_yaml(text) };
        let counts = counts.entry(format.to_owned()).or_default();
        let found = kinds_of(format, text, &read);
        for kind in &found {
            *counts.entry(kind).or_default() += 1;
        }
        for note in read.iter().flat_map(|read| &read.notes) {
            *kinds.entry(note.kind.to_string()).or_default() += 1;
        }
        if shown.as_deref().is_some_and(|shown| found.contains(&shown)) {
            println!("=== {format}\n{text}\n--- {}", describe(&read));
        }
    }
    if shown.is_none() {
        println!("{:#}", json!({ "outputs": counts, "notes": kinds }));
    }
}

/// How an output is to be counted.
fn kinds_of(format: &str, text: &str, read: &Result<Read, Unread>) -> Vec<&'static str> {
    let strict: Option<Value> = match format {
        "json" => serde_json::from_str(text).ok(),
        _ => tolerant::strict_yaml(text).map(|(value, _)| value),
    }
    .filter(|value| value.is_object() || value.is_array());
    let mut kinds = vec!["all", if strict.is_some() { "strict" } else { "not_strict" }];
    let Ok(read) = read else {
        kinds.push("unread");
        return kinds;
    };
    kinds.push(match (read.is_strict(), read.is_certain()) {
        (true, _) => "as_it_is",
        (false, true) => "repaired",
        (false, false) => "doubt",
    });
    let alone = if format == "json" { tolerant::json(text) } else { tolerant::yaml(text) };
    if strict.is_some_and(|strict| alone.is_ok_and(|alone| alone.is_certain() && alone.value != strict)) {
        kinds.push("differs");
    }
    kinds
}

fn describe(read: &Result<Read, Unread>) -> String {
    match read {
        Ok(read) => {
            let notes: Vec<String> = read.notes.iter().map(|note| format!("{}: {}", note.at, note.kind)).collect();
            format!("{}\n{:#}", notes.join(", "), read.value)
        }
        Err(error) => error.to_string(),
    }
}
