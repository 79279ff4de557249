//! How well and how fast APIs are found.
//!
//! ```text
//! cargo bench -p synod-agent-node --bench retrieval -- recall api.jsonl eval.jsonl
//! cargo bench -p synod-agent-node --bench retrieval -- cost api.jsonl eval.jsonl 1000 100000
//! ```
//!
//! `recall` says how many questions of APIBench (one JSON object a line: `question`, and `api_ids` that name records of the
//! catalogue by `id`) have the card they were written for among the first 1, 3, 5 and 10, and the ceiling: what a ranker could
//! reach at best that cannot tell cards of one functionality and domain apart.
//!
//! `cost` repeats the cards under other names until there are as many as asked for. Their passages are equal, so that each is
//! embedded once; every card has rows of its own in the index, which are all compared.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a measurement ends where it goes wrong"
)]

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;
use synod_agent_node::apis::{
    EmbedProgress, Hit, Indexed, LazyEmbedder, Library, Retriever,
    sources::{Source, SourceKind},
};
use synod_models::{
    embed::Embedder,
    store::{CancelToken, Silent, Store},
};

const EMBEDDER: &str = "all-minilm-l6-v2";
const DEPTHS: [usize; 4] = [1, 3, 5, 10];
const TIMED_QUESTIONS: usize = 200;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["recall", catalogue, questions] => runtime.block_on(recall(catalogue, &read(questions))),
        ["cost", catalogue, questions, sizes @ ..] => {
            for size in sizes {
                runtime.block_on(cost(catalogue, &read(questions), size.parse().expect("a number of documents")));
            }
        }
        // `cargo bench` alone has nothing to measure on.
        _ => say("usage: retrieval -- recall|cost api.jsonl eval.jsonl [SIZE…]"),
    }
}

fn say(line: &str) {
    println!("{line}");
}

fn read(path: &str) -> Vec<Value> {
    let text = fs::read_to_string(path).expect(path);
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn embedder() -> LazyEmbedder {
    LazyEmbedder::new(|| {
        let store = Store::open().unwrap();
        let files = store.pull(EMBEDDER, &Silent, &CancelToken::new()).unwrap();
        Ok(Arc::new(Embedder::load(files.weights().parent().unwrap()).unwrap()))
    })
}

async fn indexed(dir: &Path, file: &str) -> (Arc<Library>, Arc<Indexed>) {
    let library = Arc::new(Library::open(dir, embedder()));
    let location = fs::canonicalize(file).unwrap().to_str().unwrap().to_owned();
    let source = Source { location, kind: Some(SourceKind::Gorilla) };
    let progress: EmbedProgress = Arc::new(|_, _| {});
    library.add("bench", source, progress).await.unwrap();
    let indexed = library.get("bench").unwrap();
    (library, indexed)
}

fn field<'a>(record: &'a Value, name: &str) -> &'a str {
    record.get(name).and_then(Value::as_str).unwrap_or_default()
}

async fn recall(file: &str, questions: &[Value]) {
    let dir = tempfile::tempdir().unwrap();
    let (_library, indexed) = indexed(dir.path(), file).await;
    let cards = read(file);
    let by_id: HashMap<&str, &Value> = cards.iter().map(|card| (field(card, "id"), card)).collect();
    let kind = |card: &Value| (field(card, "domain").to_owned(), card.get("functionality").map(Value::to_string));
    let mut twins: HashMap<_, usize> = HashMap::new();
    cards.iter().for_each(|card| *twins.entry(kind(card)).or_default() += 1);
    let references: Vec<Vec<&Value>> = questions
        .iter()
        .map(|question| question["api_ids"].as_array().unwrap().iter().map(|id| by_id[id.as_str().unwrap()]).collect())
        .collect();
    say(&format!("{} cards, {} questions", cards.len(), questions.len()));
    for retriever in Retriever::ALL {
        let found = |(question, references): (&Value, &Vec<&Value>)| {
            let hits = indexed.search(field(question, "question"), 10, retriever).unwrap();
            hits.iter().position(|hit| references.iter().any(|card| is_of(hit, card)))
        };
        let places: Vec<Option<usize>> = questions.iter().zip(&references).map(found).collect();
        let share = |depth: usize| places.iter().flatten().filter(|place| **place < depth).count() as f64;
        let shares = DEPTHS.map(|depth| format!("@{depth} {:.1}", 100.0 * share(depth) / questions.len() as f64));
        say(&format!("{retriever:8} recall {}", shares.join("  ")));
    }
    let ceiling = DEPTHS.map(|depth| {
        let best = |card: &&Value| (depth as f64 / twins[&kind(card)] as f64).min(1.0);
        let sum: f64 = references.iter().map(|cards| cards.iter().map(best).sum::<f64>().min(1.0)).sum();
        format!("@{depth} {:.1}", 100.0 * sum / questions.len() as f64)
    });
    say(&format!("ceiling  recall {}", ceiling.join("  ")));
}

/// Whether an API is of that card; another card with the same call is another card.
fn is_of(hit: &Hit, card: &Value) -> bool {
    let same = |name: &str| hit.api.details.get(name) == card.get(name).filter(|value| !value.is_null());
    same("api_call") && same("functionality") && hit.api.description.trim() == field(card, "description").trim()
}

async fn cost(file: &str, questions: &[Value], size: usize) {
    let dir = tempfile::tempdir().unwrap();
    let (cards, path) = (read(file), dir.path().join("cards.jsonl"));
    let mut lines = String::new();
    for index in 0..size {
        let mut card = cards[index % cards.len()].clone();
        card["api_name"] = format!("{} {}", field(&card, "api_name"), index / cards.len()).into();
        card["api_call"] = format!("{}.variant({})", field(&card, "api_call"), index).into();
        lines.push_str(&format!("{card}\n"));
    }
    fs::write(&path, lines).unwrap();
    let before = resident_mb();
    let start = Instant::now();
    let (library, indexed) = indexed(&dir.path().join("apis"), path.to_str().unwrap()).await;
    say(&format!(
        "{} documents: read, embedded and published in {:.1} s",
        indexed.catalogue().apis().len(),
        start.elapsed().as_secs_f64()
    ));
    drop((library, indexed));
    let start = Instant::now();
    let library = Library::open(dir.path().join("apis"), embedder());
    let indexed = library.get("bench").unwrap();
    let loaded = start.elapsed();
    for retriever in [Retriever::Bm25, Retriever::Dense] {
        indexed.search("warm", 5, retriever).unwrap();
    }
    let (all, memory) = (start.elapsed(), resident_mb() - before);
    say(&format!(
        "opened again: read in {:.2} s, indexed in {:.2} s; {memory} MB",
        loaded.as_secs_f64(),
        (all - loaded).as_secs_f64()
    ));
    for retriever in Retriever::ALL {
        let time = |question: &Value| {
            let start = Instant::now();
            let hits = indexed.search(field(question, "question"), 5, retriever).unwrap();
            assert!(hits.iter().map(|hit| &hit.api.name).collect::<HashSet<_>>().len() == hits.len());
            start.elapsed()
        };
        let mut times: Vec<Duration> = questions.iter().take(TIMED_QUESTIONS).map(time).collect();
        times.sort();
        let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)].as_secs_f64() * 1e3;
        say(&format!("{retriever:8} p50 {:.2} ms  p99 {:.2} ms", at(50), at(99)));
    }
}

/// What the process holds in memory; 0 where the system does not say.
fn resident_mb() -> i64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<i64>().ok()).unwrap_or(0) / 1024
}
