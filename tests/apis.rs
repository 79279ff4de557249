//! Calls of APIs from the command line: a real service that describes itself, a question in words, a call that is carried
//! out, an answer, and the way back.

#![allow(clippy::unwrap_used, reason = "clippy counts only functions marked as tests, not their helpers")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use synod_models::store::Store;
use tempfile::TempDir;

const MODEL: &str = "qwen2.5-coder-0.5b-instruct";

/// `examples/notes.py`, ended when dropped.
struct Notes {
    child: Child,
    /// `http://127.0.0.1:PORT/openapi.json`
    description: String,
}

impl Notes {
    fn start() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/notes.py");
        let mut command = Command::new("python3");
        let mut child = command.args([script, "0"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut description = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut description).unwrap();
        Self { child, description: description.trim().to_owned() }
    }

    fn server(&self) -> &str {
        self.description.strip_prefix("http://").unwrap().strip_suffix("/openapi.json").unwrap()
    }
}

impl Drop for Notes {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may be dead already
        let _ = self.child.wait();
    }
}

/// A working directory with catalogues of its own, and the models of this machine.
struct Desk(TempDir);

impl Desk {
    fn new(config: &str) -> Self {
        let desk = Self(TempDir::new().unwrap());
        fs::write(desk.0.path().join("synod.toml"), config).unwrap();
        let (here, shared) = (desk.0.path().join("home"), Store::open().unwrap());
        fs::create_dir(&here).unwrap();
        let models = shared.home().join("models");
        fs::create_dir_all(&models).unwrap();
        std::os::unix::fs::symlink(models, here.join("models")).unwrap();
        desk
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_synod"));
        command.args(arguments).current_dir(self.0.path()).env("SYNOD_HOME", self.0.path().join("home"));
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// What a command that must work prints, as JSON.
    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn call(&self, request: &str, more: &[&str]) -> Value {
        self.json(&[&["apis", "call", request, "--model", MODEL, "--top-k", "2", "--execute", "--json"], more].concat())
    }
}

#[test]
fn a_question_becomes_a_call_that_was_agreed_to_and_an_answer_and_can_be_taken_back() {
    let notes = Notes::start();
    let desk = Desk::new(&format!("[apis]\nnetworks = ['{}']\n", notes.server()));
    let added = desk.json(&["apis", "add", &notes.description, "--name", "notes", "--json"]);
    assert_eq!(added["apis"], 5, "{added}");

    let request = "Write down a new note with the text \"the milk is out\"";
    let refused = desk.run(&["apis", "call", request, "--model", MODEL, "--top-k", "2", "--execute"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    let consent = said.split("--consent ").nth(1).unwrap().split_whitespace().next().unwrap();
    let written = desk.call(request, &["--consent", consent]);
    assert_eq!(written["call"]["api"], "create_note", "{written}");
    assert_eq!(written["outcomes"][0]["result"]["text"], "the milk is out", "{written}");

    let listed = desk.call("List the notes that hold the word milk", &[]);
    assert_eq!(listed["call"]["api"], "list_notes", "{listed}");
    // The one that was agreed to, and not the one that was refused.
    assert_eq!(listed["outcomes"][0]["result"].as_array().unwrap().len(), 1, "{listed}");
    assert!(listed["answer"].as_str().is_some_and(|answer| !answer.is_empty()), "{listed}");

    let id = written["outcomes"][0]["id"].as_str().unwrap();
    let refused = desk.run(&["apis", "undo", id]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    let consent = said.split("--consent ").nth(1).unwrap().split_whitespace().next().unwrap();
    assert_eq!(desk.json(&["apis", "undo", id, "--consent", consent, "--json"])["succeeded"], true);
    let again = desk.run(&["apis", "undo", id, "--consent", consent]);
    assert_eq!(again.status.code(), Some(1), "{}", String::from_utf8_lossy(&again.stderr));
}

#[test]
fn members_of_a_mixture_propose_calls_and_carry_nothing_out() {
    let notes = Notes::start();
    let desk = Desk::new(&format!(
        "[apis]\nnetworks = ['{}']\n[[topologies.callers.stages]]\nkind = 'propose'\n\
         members = [{{ model = '{MODEL}', apis = ['notes'], samples = 2 }}, {{ model = 'smollm2-135m-instruct', max_tokens = 16 }}]\n\
         [[topologies.callers.stages]]\nkind = 'select'\nby = 'vote'\nanswer = 'text'\n",
        notes.server()
    ));
    desk.json(&["apis", "add", &notes.description, "--name", "notes", "--json"]);
    let request = "Write down a new note with the text \"the milk is out\"";
    let asked = desk.json(&["ask", "--topology", "callers", "--json", request]);
    assert_eq!(asked["degraded"], false, "{asked}");
    let answer = asked["answer"].as_str().unwrap();
    // The call, and the document that it was made from.
    assert!(answer.starts_with("call: ") && answer.contains("the milk is out"), "{answer}");
    assert!(answer.contains("name: create_note") && answer.contains("tag"), "{answer}");
    let listed = desk.call("List the notes that hold the word milk", &[]);
    assert_eq!(listed["outcomes"][0]["result"].as_array().unwrap().len(), 0, "{listed}");

    let record = desk.json(&["runs", "show", "last", "--prompts", "--json"]);
    let calls: Vec<&Value> = record["calls"].as_array().unwrap().iter().filter(|call| call["seat"] == 0).collect();
    let is_about = |call: &&Value, about: &str| call["purpose"].as_str().unwrap().contains(about);
    // Five documents are weighed, with a request and without one, and the call is written with the best in view.
    assert_eq!(calls.iter().filter(|call| is_about(call, "fits")).count(), 10, "{record}");
    let written = calls.last().unwrap();
    assert!(is_about(written, "a call of create_note"), "{written}");
    assert!(written["grammar"].as_str().unwrap().contains("create_note"), "{written}");
    assert!(written["text"].as_str().unwrap().contains("the milk is out"), "{written}");
    for call in calls {
        let stretch = &call["prompt"]["stretches"][0];
        let text: String =
            stretch["pieces"].as_array().unwrap().iter().map(|piece| piece["text"].as_str().unwrap()).collect();
        let tokenised = desk.json(&["models", "tokenize", "--model", MODEL, "--special", "--json", &text]);
        assert_eq!(tokenised["ids"], stretch["tokens"], "{call}");
    }
}

#[test]
fn one_member_of_a_mixture_calls_and_the_answer_knows_what_came_back() {
    let notes = Notes::start();
    let desk = Desk::new("");
    desk.json(&["apis", "add", &notes.description, "--name", "notes", "--json"]);
    let topology = format!(
        "[[topologies.acting.stages]]\nkind = 'propose'\n\
         members = [{{ model = '{MODEL}', apis = ['notes'], samples = 2 }}]\n\
         [[topologies.acting.stages]]\nkind = 'act'\nmember = {{ model = '{MODEL}', apis = ['notes'] }}\n\
         [[topologies.acting.stages]]\nkind = 'synthesize'\nmember = {{ model = '{MODEL}', max_tokens = 32 }}\n"
    );
    let ask = |apis: &str| {
        let config = desk.0.path().join("acting.toml");
        fs::write(&config, format!("[apis]\nnetworks = ['{}']\n{apis}\n{topology}", notes.server())).unwrap();
        let request = "Write down a new note with the text \"the milk is out\"";
        // Nodes that `ask` starts read the same file.
        desk.json(&["ask", "--config", config.to_str().unwrap(), "--topology", "acting", "--json", request])
    };
    let decision = |asked: &Value| asked["stages"][1]["decision"].as_str().unwrap().to_owned();

    let refused = ask("");
    assert!(decision(&refused).contains("carries out no calls for others"), "{refused}");
    assert_eq!(refused["degraded"], true, "{refused}");
    // Creating a note asks for consent, and there is nobody.
    let denied = ask("serve = true");
    let draft = |asked: &Value| asked["stages"][1]["members"][0]["text"].as_str().unwrap().to_owned();
    assert!(draft(&denied).contains("is not called without consent"), "{denied}");
    let made = ask("serve = true\nreversible = 'auto'");
    assert_eq!(made["degraded"], false, "{made}");
    assert_eq!(decision(&made), "3 of 3 for create_note: 201 Created", "{made}");
    assert!(draft(&made).contains("This call was made: ") && draft(&made).contains("the milk is out"), "{made}");
    let journal = desk.json(&["apis", "journal", "--json"]);
    assert_eq!(journal["calls"].as_array().unwrap().len(), 1, "{journal}");

    let again = desk.run(&["runs", "replay", "last", "--config", "acting.toml"]);
    assert_eq!(again.status.code(), Some(2), "{}", String::from_utf8_lossy(&again.stderr));
}
