//! Records of runs on real processes and a real model: what is shown is what the models saw.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

#[allow(dead_code, reason = "other tests use the rest")]
mod support;

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use futures::StreamExt;
use serde_json::Value;
use support::{MODEL, Process};
use synod_aggregator::{
    Client, Question,
    events::Event,
    records::{Filter, Reader, Record},
};
use synod_models::gguf::GgufFile;
use synod_models::store::Store;
use synod_models::text::{Piece, Tokenizer};
use tempfile::TempDir;

/// Two seats and a synthesis on the small model, and where their runs are recorded.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(TempDir::new().unwrap());
        let text = format!(
            r#"
default_topology = "two"
[records]
path = "{}"
[topologies.two]
deadline = "60s"
[[topologies.two.stages]]
kind = "propose"
members = [{{ model = "{MODEL}", samples = 2, max_tokens = 24 }}]
[[topologies.two.stages]]
kind = "synthesize"
member = {{ model = "{MODEL}", max_tokens = 24, temperature = 0.7 }}
"#,
            place.records().display()
        );
        fs::write(place.config(), text).unwrap();
        place
    }

    fn config(&self) -> PathBuf {
        self.0.path().join("synod.toml")
    }

    fn records(&self) -> PathBuf {
        self.0.path().join("records.sqlite")
    }

    /// What becomes an aggregator that records.
    fn aggregator(&self, mut command: Command, node: &Process) -> Command {
        command.args(["aggregator", "--listen", "127.0.0.1:0", "--node", &node.address, "--config"]);
        command.arg(self.config()).env(support::RECORDS, "true");
        command
    }

    /// Runs a command that is to end by itself.
    fn synod(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_synod"));
        command.args(arguments).arg("--config").arg(self.config()).output().unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.synod(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The newest run, read from the file.
    fn last(&self) -> Record {
        let reader = Reader::open(&self.records()).unwrap();
        reader.get(&reader.resolve("last").unwrap()).unwrap()
    }
}

fn synod() -> Command {
    Command::new(env!("CARGO_BIN_EXE_synod"))
}

/// Asks to the end; the answer, if there was one.
async fn ask(address: &str, question: &str) -> Option<String> {
    let mut client = Client::connect(address).await.unwrap();
    let mut events = client.ask(Question::new(question)).await.unwrap();
    let mut answer = None;
    while let Some(event) = events.next().await {
        if let Ok(Event::RunFinished(finished)) = event {
            answer = Some(finished.answer);
        }
    }
    answer
}

/// Tokenises again what each call of a run was given.
fn check_prompts(record: &Record) {
    let file = GgufFile::open(Store::open().unwrap().locate(MODEL).unwrap().weights()).unwrap();
    let tokenizer = Tokenizer::from_gguf(&file).unwrap();
    // A synthesis that was begun while drafts were written may be given up.
    let finished: Vec<_> = record.calls.iter().filter(|call| call.outcome == "finished").collect();
    assert_eq!(finished.len(), 3);
    for call in finished {
        let prompt = call.prompt.as_ref().expect("the node says what the model is given");
        for stretch in &prompt.stretches {
            let pieces = stretch.pieces.iter().map(|piece| Piece { text: piece.text.clone(), trusted: piece.control });
            assert_eq!(tokenizer.encode_pieces(&pieces.collect::<Vec<_>>()), stretch.tokens);
        }
        assert_eq!(prompt.tokens().len(), call.usage.prompt as usize);
        assert_eq!(call.tokens.len(), call.usage.completion as usize);
    }
}

#[tokio::test]
async fn runs_asked_by_grpc_by_command_and_alone_are_recorded_shown_compared_and_replayed() {
    let (place, node) = (Place::new(), Process::node());
    let aggregator = Process::run(place.aggregator(synod(), &node), "aggregator listening on ");
    let answer = ask(&aggregator.address, "Name three colours.").await.unwrap();
    let endpoint = ["--endpoint", &aggregator.address];
    let asked = place.json(&["ask", "--json", "--seed", "7", endpoint[0], endpoint[1], "Name two primes."]);
    let alone = place.json(&["ask", "--json", "Name a bird."]);

    let lines = place.json(&["runs", "list", "--json", endpoint[0], endpoint[1]]);
    assert_eq!(lines, place.json(&["runs", "list", "--json"]), "the aggregator and the file say the same");
    let ids: Vec<&str> = lines.as_array().unwrap().iter().map(|line| line["run_id"].as_str().unwrap()).collect();
    assert_eq!((ids.len(), ids[0], ids[1]), (3, alone["run_id"].as_str().unwrap(), asked["run_id"].as_str().unwrap()));

    for id in &ids {
        let shown = place.json(&["runs", "show", id, "--prompts", "--json", endpoint[0], endpoint[1]]);
        check_prompts(&serde_json::from_value(shown).unwrap());
    }
    let story = String::from_utf8(place.synod(&["runs", "show", ids[2], "--prompts"]).stdout).unwrap();
    for part in ["Name three colours.", "<|im_start|>user", "stage 2 · synthesize", answer.lines().next().unwrap()] {
        assert!(story.contains(part), "{part:?} in\n{story}");
    }

    let replay = place.json(&["runs", "replay", ids[2], "--json", endpoint[0], endpoint[1]]);
    assert_eq!((&replay["same"], replay["members"].as_array().unwrap().len()), (&Value::Bool(true), 3), "{replay}");
    let diff = |a: &str, b: &str| String::from_utf8(place.synod(&["runs", "diff", a, b]).stdout).unwrap();
    let told = diff(ids[2], ids[1]);
    assert!(told.contains("-user: Name three colours.\n+user: Name two primes.\n"), "{told}");
    let same = diff(ids[2], replay["replay_id"].as_str().unwrap());
    assert!(!same.contains("prompt\n") && !same.contains("text\n"), "{same}");

    let export = place.synod(&["runs", "export", "--since", "1h"]);
    let records: Vec<Record> =
        String::from_utf8(export.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len(), 4);
}

#[tokio::test]
async fn a_full_disk_stops_the_records_with_a_warning_and_not_the_answers() {
    let (place, node) = (Place::new(), Process::node());
    let mut limited = Command::new("sh");
    // The unit of `ulimit -f` is 512 bytes for POSIX and 1024 for some shells; SQLite needs neither to be exact.
    limited.args(["-c", "trap '' XFSZ; ulimit -f 256; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_synod")]);
    let mut command = place.aggregator(limited, &node);
    let (mut said, stderr) = std::io::pipe().unwrap();
    command.stderr(Stdio::from(stderr));
    let mut aggregator = Process::run(command, "aggregator listening on ");
    for _ in 0..12 {
        assert!(
            ask(&aggregator.address, &"Name a colour. ".repeat(100)).await.is_some_and(|answer| !answer.is_empty())
        );
    }
    assert!(aggregator.terminate().success());
    let mut errors = String::new();
    said.read_to_string(&mut errors).unwrap();
    // Once each time that it stops, not once a record.
    let warnings = errors.matches("runs are not recorded for now").count();
    assert!((1..=6).contains(&warnings), "{errors}");
    let reader = Reader::open(&place.records()).unwrap();
    let kept = reader.list(&Filter { limit: 100, ..Filter::default() }).unwrap();
    assert!(!kept.is_empty() && kept.len() < 12, "{} of 12", kept.len());
}

#[tokio::test]
async fn an_aggregator_killed_while_it_records_leaves_a_file_that_can_be_read() {
    let (place, node) = (Place::new(), Process::node());
    let mut aggregator = Process::run(place.aggregator(synod(), &node), "aggregator listening on ");
    assert!(ask(&aggregator.address, "Name a colour.").await.is_some());
    let mut client = Client::connect(&aggregator.address).await.unwrap();
    let mut events = client.ask(Question::new("Name a bird.")).await.unwrap();
    while !matches!(events.next().await.unwrap().unwrap(), Event::MemberDelta { .. }) {}
    // What is told so far is in the file once somebody asked for it.
    let run_id = client.record("last").await.unwrap().unwrap().began.run_id;
    aggregator.kill();
    let last = place.last();
    assert_eq!((&last.began.run_id, last.ended), (&run_id, None));
    let lines = place.json(&["runs", "list", "--json"]);
    assert_eq!((&lines[0]["state"], &lines[1]["state"]), (&"unfinished".into(), &"finished".into()));
    let story = place.synod(&["runs", "show", &run_id]);
    assert!(String::from_utf8(story.stdout).unwrap().contains("has not ended"));
}
