//! Runs over nodes out of a script, and the file that they leave behind.

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures::StreamExt;
use rusqlite::Connection;
use tempfile::TempDir;

use super::{
    retention::{bytes, tidy},
    *,
};
use crate::{
    error::ErrorCode,
    limits::Limits,
    members::Grammar,
    prompts::Prompts,
    runs::{
        AnswerForm, Question, Runner,
        fake::{Act, FakeNodes, say},
    },
    topology::{Known, from_toml},
};

const TOPOLOGIES: &str = r#"
default_topology = "mixture"
[roles.poet]
instructions = "Write as a poet would."
[topologies.mixture]
# Two and one.
deadline = "60s"
[[topologies.mixture.stages]]
kind = "propose"
quorum = 1
grace = "5s"
members = [{ model = "a", role = "poet" }, { model = "b" }]
[[topologies.mixture.stages]]
kind = "synthesize"
member = { model = "s" }
[topologies.outer]
[[topologies.outer.stages]]
kind = "propose"
members = [{ topology = "mixture" }]
[[topologies.outer.stages]]
kind = "select"
by = "vote"
answer = "text"
[topologies.calling]
[[topologies.calling.stages]]
kind = "propose"
quorum = 1
members = [{ model = "a", apis = ["notes"] }, { model = "b", apis = ["notes"] }]
[[topologies.calling.stages]]
kind = "select"
by = "vote"
answer = "text"
"#;

fn settings(path: &Path) -> Settings {
    Settings { path: path.to_owned(), max_age: Duration::from_hours(24), max_bytes: 1 << 30, texts: Texts::Keep }
}

fn runner(nodes: FakeNodes, recorder: &Arc<Recorder>) -> Runner {
    let topologies = from_toml(TOPOLOGIES, &Known::default()).unwrap();
    let prompts = Prompts::builtin().unwrap();
    Runner::recording(Arc::new(nodes), topologies, prompts, Limits::standard(), Some(Arc::clone(recorder)))
}

fn well() -> FakeNodes {
    FakeNodes::new().node("n", "a", [say("one")]).node("n", "b", [say("two")]).node("n", "s", [say("both")])
}

/// Asks, and waits for the end; the run's id.
async fn ask(runner: &Runner, topology: &str) -> String {
    let question = Question { topology: topology.to_owned(), ..Question::new("Why?") };
    let mut events = runner.start(question).unwrap();
    let run_id = events.run_id().to_owned();
    while events.next().await.is_some() {}
    run_id
}

/// A recorder of a file in a folder of its own.
fn recorder() -> (TempDir, Arc<Recorder>) {
    let folder = TempDir::new().unwrap();
    let recorder = Recorder::start(settings(&folder.path().join("state/records.sqlite")));
    (folder, recorder)
}

#[tokio::test]
async fn a_run_is_recorded_from_its_question_to_its_answer_with_every_call() {
    let (_folder, recorder) = recorder();
    let refused = Act::Refuse(ErrorCode::PromptRefused, "too long");
    let nodes = FakeNodes::new().node("n", "a", [say("one")]).node("n", "b", [refused]).node("n", "s", [say("both")]);
    let run_id = ask(&runner(nodes, &recorder), "").await;
    let record = recorder.get("last".to_owned()).await.unwrap();
    assert_eq!((&record.began.run_id, record.began.topology.name.as_str()), (&run_id, "mixture"));
    assert_eq!(record.began.question.messages, [("user".to_owned(), "Why?".to_owned())]);
    for part in ["# Two and one.", "[[topologies.mixture.stages]]", "Write as a poet would."] {
        assert!(record.began.topology.text.contains(part), "{part} in {}", record.began.topology.text);
    }
    assert!(!record.began.topology.text.contains("outer"));
    let ended = record.ended.as_ref().unwrap();
    assert_eq!((ended.state.as_str(), ended.answer.as_str(), ended.degraded), ("finished", "both", true));
    let seats: Vec<_> = ended.seats.iter().map(|seat| (seat.stage, seat.seat, seat.text.as_str())).collect();
    assert_eq!(seats, [(0, 0, "one"), (0, 1, ""), (1, 0, "both")]);
    assert!(ended.seats[1].error.contains("too long") && ended.stages.len() == 2);
    let mut calls: Vec<_> = record
        .calls
        .iter()
        .map(|call| (call.stage, call.seat, &*call.outcome, &*call.text, call.tokens.len()))
        .collect();
    calls.sort_unstable();
    assert_eq!(calls, [(0, 0, "finished", "one", 1), (0, 1, "failed", "", 0), (1, 0, "finished", "both", 1)]);
    assert_eq!(record.answered(1, 0).unwrap().usage.prompt, 10);
    recorder.close().await;
    assert_eq!(recorder.dropped(), 0);
}

#[tokio::test]
async fn what_a_model_was_asked_on_the_way_to_a_call_is_recorded_in_order() {
    let (_folder, recorder) = recorder();
    let nodes = FakeNodes::new().node("n", "a", [Act::Propose(Some("call: read_note(id=1)"))]).node(
        "n",
        "b",
        [Act::Refuse(ErrorCode::PromptRefused, "no catalogues")],
    );
    ask(&runner(nodes, &recorder), "calling").await;
    let record = recorder.get("last".to_owned()).await.unwrap();
    let calls = |seat| {
        let calls = record.calls.iter().filter(move |call| call.seat == seat);
        calls.map(|call| (&*call.purpose, &*call.outcome, &*call.text)).collect::<Vec<_>>()
    };
    let asked = [("whether it fits", "finished", ""), ("a call", "finished", "call: read_note(id=1)")];
    assert_eq!(calls(0), asked);
    assert_eq!(calls(1), [("", "failed", "")]);
    assert_eq!(record.answered(0, 0).unwrap().text, "call: read_note(id=1)");
}

#[tokio::test]
async fn a_topology_in_a_topology_is_a_record_of_its_own_and_no_line_of_the_list() {
    let (_folder, recorder) = recorder();
    let run_id = ask(&runner(well(), &recorder), "outer").await;
    let lines = recorder.list(Filter { limit: 10, ..Filter::default() }).await.unwrap();
    assert_eq!(lines.iter().map(|line| line.run_id.as_str()).collect::<Vec<_>>(), [run_id.as_str()]);
    let outer = recorder.get(run_id.clone()).await.unwrap();
    assert!(outer.ended.as_ref().unwrap().stages[1].decision.contains("no choice"), "{outer:?}");
    let inner = recorder.get(outer.ended.unwrap().seats[0].nested_run_id.clone()).await.unwrap();
    assert_eq!((inner.began.part_of, inner.calls.len()), (run_id, 3));
}

#[tokio::test]
async fn the_form_of_an_answer_and_whose_it_is_are_recorded() {
    let (_folder, recorder) = recorder();
    let form = AnswerForm { grammar: Some(Grammar::JsonSchema("{}".to_owned())), top_logprobs: Some(2) };
    let question = Question { form, tenant: "a".to_owned(), ..Question::new("Why?") };
    let runner = runner(well(), &recorder);
    let mut events = runner.start(question.clone()).unwrap();
    while events.next().await.is_some() {}
    let record = recorder.get("last".to_owned()).await.unwrap();
    assert_eq!(record.began.question, question);
    assert_eq!(record.answered(1, 0).unwrap().grammar, "{}");
}

#[tokio::test]
async fn the_file_is_for_its_owner_alone() {
    let (folder, recorder) = recorder();
    ask(&runner(well(), &recorder), "").await;
    recorder.get("last".to_owned()).await.unwrap();
    let mode = |path: &str| {
        let permissions = fs::metadata(folder.path().join(path)).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::mode(&permissions) & 0o777
    };
    assert_eq!(["state", "state/records.sqlite", "state/records.sqlite-wal"].map(mode), [0o700, 0o600, 0o600]);
}

#[tokio::test]
async fn a_beginning_of_an_id_is_enough_where_no_other_has_it() {
    let (_folder, recorder) = recorder();
    let runner = runner(well(), &recorder);
    for id in ["abc-1", "abc-2", "abd-1"] {
        let question = Question { run_id: id.to_owned(), ..Question::new("Why?") };
        let mut events = runner.start(question).unwrap();
        while events.next().await.is_some() {}
    }
    let found = async |run: &str| recorder.get(run.to_owned()).await.map(|record| record.began.run_id);
    assert_eq!(found("abd").await.unwrap(), "abd-1");
    assert_eq!(found("abc-1").await.unwrap(), "abc-1");
    assert!(matches!(found("abc").await.unwrap_err(), ReadError::Ambiguous { some, .. } if some.len() == 2));
    assert!(matches!(found("x").await.unwrap_err(), ReadError::Unknown(_)));
}

#[tokio::test]
async fn redacted_records_hold_no_word_that_was_said() {
    for texts in [Texts::Hash, Texts::Drop] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("records.sqlite");
        let recorder = Recorder::start(Settings { texts, ..settings(&path) });
        let nodes = FakeNodes::new().node("n", "a", [say("zebra")]).node("n", "b", [say("zebra")]);
        let runner = runner(nodes.node("n", "s", [say("zebra")]), &recorder);
        let form = AnswerForm { grammar: Some(Grammar::Regex("zebra".to_owned())), top_logprobs: None };
        let outer = Question { topology: "outer".to_owned(), ..Question::new("which zebra?") };
        for question in [outer, Question { form, ..Question::new("which zebra?") }] {
            let mut events = runner.start(question).unwrap();
            while events.next().await.is_some() {}
        }
        let record = recorder.get("last".to_owned()).await.unwrap();
        recorder.close().await;
        let file = fs::read(&path).unwrap();
        assert!(!file.windows(5).any(|word| word == b"zebra"), "{texts:?}");
        let answer = record.ended.unwrap().answer;
        assert_eq!(answer, if texts == Texts::Hash { format!("sha256:{}", hex("zebra")) } else { String::new() });
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_moved_aside_and_a_new_one_begun() {
    let (folder, recorder) = recorder();
    let state = folder.path().join("state");
    fs::create_dir(&state).unwrap();
    fs::write(recorder.path(), "this is no database, and longer than a header of one has to be ".repeat(40)).unwrap();
    let run_id = ask(&runner(well(), &recorder), "").await;
    assert_eq!(recorder.get("last".to_owned()).await.unwrap().began.run_id, run_id);
    let names = fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.contains(".broken-")).count(), 1);
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_left_alone_and_runs_go_on() {
    let (folder, recorder) = recorder();
    fs::create_dir(folder.path().join("state")).unwrap();
    Connection::open(recorder.path()).unwrap().pragma_update(None, "user_version", 99).unwrap();
    ask(&runner(well(), &recorder), "").await;
    let error = recorder.get("last".to_owned()).await.unwrap_err();
    assert!(error.to_string().contains("newer version"), "{error}");
    assert_eq!(recorder.dropped(), 5, "a beginning, three calls and an end");
}

#[tokio::test]
async fn records_stop_where_there_is_no_place_for_them_and_go_on_when_there_is() {
    let (folder, recorder) = recorder();
    // A file where the folder is to be: nothing can be made in it.
    fs::write(folder.path().join("state"), "").unwrap();
    let runner = runner(well(), &recorder);
    ask(&runner, "").await;
    assert!(recorder.get("last".to_owned()).await.is_err());
    assert_eq!(recorder.dropped(), 5);
    fs::remove_file(folder.path().join("state")).unwrap();
    let run_id = ask(&runner, "").await;
    assert_eq!(recorder.get("last".to_owned()).await.unwrap().began.run_id, run_id);
    assert_eq!(recorder.dropped(), 5);
}

#[tokio::test]
async fn old_runs_are_deleted_and_the_oldest_of_too_many() {
    let (_folder, recorder) = recorder();
    let runner = runner(well(), &recorder);
    for _ in 0..20 {
        ask(&runner, "").await;
    }
    let all = Filter { limit: 100, ..Filter::default() };
    let lines = recorder.list(all.clone()).await.unwrap();
    assert_eq!(lines.len(), 20);
    recorder.close().await;
    let mut connection = Connection::open(recorder.path()).unwrap();
    let used = bytes(&connection).unwrap();
    let tight = Settings { max_bytes: used * 3 / 4, ..settings(recorder.path()) };
    tidy(&mut connection, &tight).unwrap();
    let left = recorder.list(all.clone()).await.unwrap();
    assert!(bytes(&connection).unwrap() <= tight.max_bytes && left.len() > 5, "{}", left.len());
    assert_eq!(left, lines[..left.len()], "the newest stay");

    let yesterday = unix_ms(SystemTime::now()) - 25 * 3_600_000;
    connection.execute("UPDATE runs SET began_ms = ? WHERE run_id = ?", (yesterday, &left[0].run_id)).unwrap();
    tidy(&mut connection, &settings(recorder.path())).unwrap();
    assert_eq!(recorder.list(all).await.unwrap(), left[1..]);
    let calls = |id: &str| connection.query_row("SELECT count(*) FROM calls WHERE run_id = ?", [id], |row| row.get(0));
    assert_eq!(calls(&left[0].run_id), Ok(0));
    assert_eq!(calls(&left[1].run_id), Ok(3));
}

#[tokio::test]
async fn a_full_queue_drops_records_and_slows_nobody() {
    let (_folder, recorder) = recorder();
    let began = || Began {
        run_id: "r".to_owned(),
        began_ms: 0,
        topology: TopologyText::default(),
        seed: 0,
        prompts: String::new(),
        build: String::new(),
        question: Question::new("x".repeat(40 << 20)),
        part_of: String::new(),
        stages: Vec::new(),
    };
    // Two of these are more than may wait; the second comes while the first is being gathered or written.
    let (first, second) = (began(), began());
    recorder.began(first);
    recorder.began(second);
    assert!(recorder.dropped() >= 1);
    let run_id = ask(&runner(well(), &recorder), "").await;
    // Who reads waits for a second, and a slow machine writes 40 MiB for longer.
    let written = async { while recorder.get(run_id.clone()).await.is_err() {} };
    tokio::time::timeout(Duration::from_mins(1), written).await.unwrap();
}
