use serde_json::json;

use super::*;

fn intent(undoes: Option<&str>) -> Intent {
    let arguments = json!({"text": "hello"}).as_object().unwrap().clone();
    Intent {
        api: "create_note".to_owned(),
        class: "reversible".to_owned(),
        server: "http://127.0.0.1:1".to_owned(),
        target: "POST /notes".to_owned(),
        arguments,
        fingerprint: "f".to_owned(),
        undoes: undoes.map(ToOwned::to_owned),
    }
}

fn outcome(state: State) -> Outcome {
    let undo = Undo { api: "delete_note".to_owned(), arguments: Default::default() };
    Outcome { state, status: None, error: None, undo: Some(undo) }
}

fn journal(folder: &tempfile::TempDir) -> Journal {
    Journal::at(folder.path().join("apis/journal.jsonl"), 1024 * 1024)
}

#[test]
fn a_call_without_an_outcome_is_unknown_and_cannot_be_undone() {
    let folder = tempfile::tempdir().unwrap();
    let journal = journal(&folder);
    assert!(journal.entries().unwrap().is_empty());
    let id = journal.intend(intent(None)).unwrap();
    let entry = &journal.entries().unwrap()[0];
    assert_eq!((entry.state, entry.intent.api.as_str()), (State::Unknown, "create_note"));
    assert!(matches!(journal.intend(intent(Some(&id))), Err(JournalError::NotUndoable { .. })));
}

#[test]
fn a_line_that_a_crash_cut_is_passed_over_and_the_next_begins_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let journal = journal(&folder);
    let id = journal.intend(intent(None)).unwrap();
    let path = folder.path().join("apis/journal.jsonl");
    let mut text = std::fs::read(&path).unwrap();
    text.extend_from_slice(br#"{"id":"x","at_ms":1,"event":"intent","api":"#);
    std::fs::write(&path, text).unwrap();
    journal.conclude(&id, outcome(State::Done)).unwrap();
    let entries = journal.entries().unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].state, State::Done);
}

#[test]
fn what_is_undone_is_undone_once_and_what_was_refused_may_be_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let journal = journal(&folder);
    let id = journal.intend(intent(None)).unwrap();
    journal.conclude(&id, outcome(State::Done)).unwrap();
    let first = journal.intend(intent(Some(&id))).unwrap();
    assert!(journal.intend(intent(Some(&id))).is_err(), "while one is under way");
    journal.conclude(&first, outcome(State::Failed)).unwrap();
    let second = journal.intend(intent(Some(&id))).unwrap();
    journal.conclude(&second, outcome(State::Done)).unwrap();
    assert!(journal.intend(intent(Some(&id))).is_err(), "after it was done");
    assert_eq!(journal.entries().unwrap()[0].undone_by, Some(second));
}

#[test]
fn of_many_who_undo_at_once_one_does() {
    let folder = tempfile::tempdir().unwrap();
    let journal = journal(&folder);
    let id = journal.intend(intent(None)).unwrap();
    journal.conclude(&id, outcome(State::Done)).unwrap();
    let many = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| journal.intend(intent(Some(&id))).is_ok())).collect();
        threads.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum::<usize>()
    });
    assert_eq!(many, 1);
}

#[test]
fn a_full_disk_or_a_full_journal_lets_nothing_begin() {
    let full = Journal::at("/dev/full", 1024 * 1024).intend(intent(None));
    assert!(matches!(full, Err(JournalError::Io { what: "write", .. })), "{full:?}");
    let folder = tempfile::tempdir().unwrap();
    let limited = Journal::at(folder.path().join("journal.jsonl"), OUTCOME_ROOM_BYTES);
    let id = limited.intend(intent(None)).unwrap();
    assert!(matches!(limited.intend(intent(None)), Err(JournalError::Full { .. })));
    limited.conclude(&id, outcome(State::Done)).unwrap();
}
