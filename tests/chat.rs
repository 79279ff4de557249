//! Conversations with real processes and a real model: in a pipe, and at a terminal.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

#[path = "support/pty.rs"]
mod pty;
#[allow(dead_code, reason = "other tests use the rest")]
mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use pty::AtTerminal;
use support::{MODEL, Process};
use synod_aggregator::records::{Reader, Record};
use tempfile::TempDir;

/// A node, an aggregator that records, and a folder for what a conversation leaves behind.
struct Place {
    folder: TempDir,
    aggregator: Process,
    _node: Process,
}

impl Place {
    fn new() -> Self {
        Self::over(Process::node())
    }

    fn over(node: Process) -> Self {
        let folder = TempDir::new().unwrap();
        let (config, records) = (folder.path().join("synod.toml"), folder.path().join("records.sqlite"));
        let text = format!(
            r#"
default_topology = "two"
[records]
path = "{}"
[topologies.two]
description = "two drafts and a synthesis"
deadline = "120s"
[[topologies.two.stages]]
kind = "propose"
members = [{{ model = "{MODEL}", samples = 2, max_tokens = 64 }}]
[[topologies.two.stages]]
kind = "synthesize"
member = {{ model = "{MODEL}", max_tokens = 64 }}
[topologies.one]
description = "a single model"
deadline = "120s"
[[topologies.one.stages]]
kind = "synthesize"
member = {{ model = "{MODEL}", max_tokens = 24 }}
[topologies.elsewhere]
description = "a model that nobody hosts"
deadline = "120s"
[[topologies.elsewhere.stages]]
kind = "synthesize"
member = {{ model = "qwen2.5-coder-0.5b-instruct" }}
"#,
            records.display()
        );
        fs::write(&config, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_synod"));
        command.args(["aggregator", "--listen", "127.0.0.1:0", "--node", &node.address, "--config"]);
        command.arg(config).env(support::RECORDS, "true");
        let aggregator = Process::run(command, "aggregator listening on ");
        Self { folder, aggregator, _node: node }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What becomes a conversation.
    fn chat(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_synod"));
        command.args(["chat", "--endpoint", &self.aggregator.address]).args(arguments);
        command.current_dir(self.folder.path()).env("XDG_STATE_HOME", self.path("state")).env_remove("SYNOD_HOME");
        command
    }

    /// A conversation with a pipe at each of its ends.
    fn piped(&self, arguments: &[&str]) -> Child {
        let mut command = self.chat(&[&["--max-tokens", "12"], arguments].concat());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The same, to its end.
    fn pipe(&self, arguments: &[&str], lines: &str) -> Output {
        let mut child = self.piped(arguments);
        // Whoever has left reads no more.
        let _ = child.stdin.take().unwrap().write_all(lines.as_bytes());
        child.wait_with_output().unwrap()
    }

    /// What the aggregator says of its runs.
    fn list(&self) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_synod"));
        command.args(["runs", "list", "--json", "--endpoint", &self.aggregator.address]).output().unwrap()
    }

    /// All runs as the aggregator tells of them, which is then in the file too; once none is under way.
    fn listed(&self) -> Vec<serde_json::Value> {
        loop {
            let lines: Vec<serde_json::Value> = serde_json::from_slice(&self.list().stdout).unwrap();
            if lines.iter().all(|line| line["state"] != "running") {
                return lines;
            }
        }
    }

    /// All runs, the oldest first.
    fn runs(&self) -> Vec<Record> {
        let lines = self.listed();
        let reader = Reader::open(&self.path("records.sqlite")).unwrap();
        lines.iter().rev().map(|line| reader.get(line["run_id"].as_str().unwrap()).unwrap()).collect()
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn answer(run: &Record) -> &str {
    &run.ended.as_ref().unwrap().answer
}

/// The texts that a run was asked, the question last.
fn asked(run: &Record) -> Vec<&str> {
    run.began.question.messages.iter().map(|(_, text)| text.as_str()).collect()
}

#[test]
fn in_a_pipe_each_line_is_a_question_that_knows_what_was_said_and_only_answers_are_printed() {
    let place = Place::new();
    let output = place.pipe(&["--seed", "7", "--system", "Be brief."], "Name a bird.\n\nWhere does it live?\n");
    assert!(output.status.success(), "{}", stderr(&output));
    let runs = place.runs();
    let [first, second] = &runs[..] else { panic!("{} runs", runs.len()) };
    assert_eq!(asked(first), ["Be brief.", "Name a bird."]);
    assert_eq!(asked(second), ["Be brief.", "Name a bird.", answer(first), "Where does it live?"]);
    let line = |run: &Record| format!("{}\n", answer(run).trim_end_matches('\n'));
    let printed = stdout(&output);
    assert_eq!(printed.trim_end(), format!("{}{}", line(first), line(second)).trim_end());
    assert!(printed.ends_with('\n') && !printed.contains('\u{1b}') && !stderr(&output).contains('\u{1b}'));
    assert!(!place.path("state").exists(), "what comes from a pipe is no history");
}

#[test]
fn commands_work_in_a_pipe() {
    let place = Place::new();
    let output = place.pipe(
        &[],
        "/help\n/seed 5\nName a colour.\n/drafts\n/save talk.jsonl\n/retry\n/topology\n/topology one\nName a bird.\n\
         /undo\n/clear\n/quit\nThis is not asked.\n",
    );
    let (printed, said) = (stdout(&output), stderr(&output));
    assert!(output.status.success(), "{said}");
    let runs = place.runs();
    let [first, again, bird] = &runs[..] else { panic!("{} runs:\n{said}", runs.len()) };
    assert_eq!((asked(first), answer(first)), (asked(again), answer(again)), "the same seed");
    assert_eq!(asked(bird), ["Name a colour.", answer(again), "Name a bird."]);
    assert_eq!((first.began.seed, first.began.topology.name.as_str()), (5, "two"));
    assert_eq!(bird.began.topology.name, "one");
    for part in ["/topology [NAME]", &format!("1.1 {MODEL}"), &format!("1.2 {MODEL}"), "* two", "  elsewhere"] {
        assert!(printed.contains(part), "{part:?} in\n{printed}");
    }
    assert!(said.contains("taken back: Name a bird."), "{said}");
    let saved = fs::read_to_string(place.path("talk.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = saved.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (lines.len(), &lines[0]["content"], &lines[1]["role"]),
        (2, &"Name a colour.".into(), &"assistant".into())
    );
    assert_eq!((&lines[1]["content"], &lines[1]["seed"]), (&answer(first).into(), &5.into()));
}

#[test]
fn in_a_pipe_a_mistake_ends_the_conversation_before_anything_is_asked() {
    let place = Place::new();
    for (lines, says) in [
        ("/tolopogy\nWhy?\n", "did you mean /topology?"),
        ("/topology tow\nWhy?\n", "did you mean two?"),
        ("/topology elsewhere\nWhy?\n", "needs qwen2.5-coder-0.5b-instruct, which no node hosts"),
        ("/retry\nWhy?\n", "nothing to ask again"),
    ] {
        let output = place.pipe(&[], lines);
        let said = stderr(&output);
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""), "{said}");
        assert!(said.contains(says), "{says:?} in\n{said}");
    }
    let told = stderr(&place.list());
    assert!(told.contains("nothing is recorded"), "{told}");
}

#[test]
fn an_aggregator_that_dies_ends_a_piped_conversation_as_it_ends_a_question() {
    let mut place = Place::new();
    let mut chat = place.piped(&["--seed", "7"]);
    let mut lines = chat.stdin.take().unwrap();
    lines.write_all(b"Name a bird.\n/save talk.md\n").unwrap();
    let mut said = BufReader::new(chat.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("saved to talk.md") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "it ended too early");
    }
    place.aggregator.kill();
    lines.write_all(b"Where does it live?\nAnd what does it eat?\n").unwrap();
    let output = chat.wait_with_output().unwrap();
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert_eq!(output.status.code(), Some(69), "{rest}");
    assert_eq!(rest.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{rest}");
    assert!(fs::read_to_string(place.path("talk.md")).unwrap().starts_with("> Name a bird.\n\n"));
}

#[test]
fn a_conversation_that_outgrows_the_context_leaves_out_its_oldest_turns_and_says_so() {
    let arguments = ["node", "--model", MODEL, "--listen", "127.0.0.1:0", "--threads", "1", "--context-length", "512"];
    let place = Place::over(Process::start(&arguments, "node listening on "));
    let long = |about: &str| format!("{} Name {about}.", "We talk of many things. ".repeat(55));
    let output = place.pipe(
        &["--topology", "one"],
        &format!("{}\n{}\n/save all.jsonl\n{}\n", long("a bird"), long("a fish"), "far too long ".repeat(400)),
    );
    let said = stderr(&output);
    assert!(said.contains("its oldest turn is left out from now on"), "{said}");
    assert_eq!(output.status.code(), Some(2), "a question that is too long by itself is a mistake:\n{said}");
    let answered: Vec<Record> =
        place.runs().into_iter().filter(|run| run.ended.as_ref().is_some_and(|end| !end.answer.is_empty())).collect();
    assert_eq!(answered.iter().map(asked).collect::<Vec<_>>(), [[long("a bird")], [long("a fish")]]);
    assert_eq!(fs::read_to_string(place.path("all.jsonl")).unwrap().lines().count(), 4, "nothing is lost of it");
}

#[test]
fn at_a_terminal_drafts_are_seen_answers_are_cancelled_and_lines_are_remembered() {
    let place = Place::new();
    let mut chat = AtTerminal::start(place.chat(&["--max-tokens", "12"]), 80);
    chat.wait_for("topology two");
    chat.wait_for("> ");
    chat.keys("Name a colour.\r");
    let drawn = chat.wait_for(" · seed ");
    assert!(drawn.contains("1.1 smollm2-135m-") && drawn.contains("1.2 smollm2-135m-"), "{drawn:?}");
    chat.wait_for("> ");
    chat.keys("/nonsense\r");
    chat.wait_for("there is no command /nonsense");
    chat.wait_for("> ");
    chat.keys("/topology o\t\r");
    chat.wait_for("topology one");
    chat.wait_for("> ");
    chat.keys("/quit\r");
    assert!(chat.end().success());

    let history = place.path("state/synod/chat-history");
    assert_eq!(fs::metadata(&history).unwrap().permissions().mode() & 0o777, 0o600);
    let mut chat = AtTerminal::start(place.chat(&["--max-tokens", "4096"]), 40);
    chat.wait_for("> ");
    chat.keys("\u{1b}[A\u{1b}[A\u{1b}[A\u{1b}[A");
    chat.wait_for("Name a colour.");
    chat.keys("\r");
    chat.wait_for("1.1 smollm2");
    chat.interrupt();
    chat.wait_for("cancelled");
    chat.wait_for("> ");
    chat.keys("half a line\u{3}");
    chat.wait_for("half a line");
    chat.wait_for("> ");
    chat.keys("\u{4}");
    assert!(chat.end().success());
    let runs = place.runs();
    let states: Vec<&str> = runs.iter().map(|run| run.ended.as_ref().unwrap().state.as_str()).collect();
    assert_eq!(states, ["finished", "cancelled"]);
    assert_eq!(asked(&runs[1]), ["Name a colour."]);
}
