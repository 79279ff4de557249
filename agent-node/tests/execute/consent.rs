//! Who agrees to what, and what can be taken back.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::json;
use synod_agent_node::apis::execute::{Consent, ExecuteError, Policy, State};
use synod_agent_node::apis::{Api, Effect, HttpMethod};

use super::support::{Confined, Reply, Server, api, call, said};

async fn fine() -> Server {
    Server::start(|_| Reply::json(&json!({"key": 7}))).await
}

/// Creates and, by another, takes back.
fn pair(server: &Server) -> (Api, Api) {
    let arguments = BTreeMap::from([("id".to_owned(), "/result/key".to_owned())]);
    let create = api(&server.url(), HttpMethod::Post, Effect::Reversible { inverse: "remove".to_owned(), arguments });
    let remove = Api { name: "remove".to_owned(), ..api(&server.url(), HttpMethod::Delete, Effect::Irreversible) };
    (create, remove)
}

#[tokio::test]
async fn what_cannot_be_taken_back_is_denied_unless_it_was_asked_for_and_then_confirmed() {
    let server = fine().await;
    let mut confined = Confined::to(&[server.address]);
    confined.config.policy = Policy::CAREFUL;
    let delete = api(&server.url(), HttpMethod::Delete, Effect::Irreversible);
    let (one, other) = (call(&delete, json!({"id": 1})), call(&delete, json!({"id": 2})));
    let executor = confined.executor();
    let consent = Consent::Confirmed(executor.preview(&delete, &one).unwrap().fingerprint);
    let denied = executor.execute(&delete, &one, consent.clone()).await;
    assert!(matches!(denied, Err(ExecuteError::Denied { class: "irreversible", .. })), "{denied:?}");

    confined.config.policy = Policy::CAREFUL.allowing_irreversible();
    let executor = confined.executor();
    let unasked = executor.execute(&delete, &one, Consent::None).await;
    let Err(ExecuteError::NotConfirmed { preview }) = unasked else { panic!("{unasked:?}") };
    assert_eq!(preview.text.lines().next().unwrap(), format!("DELETE {}/things/1", server.url()));
    let swapped = executor.execute(&delete, &other, consent.clone()).await;
    assert!(matches!(swapped, Err(ExecuteError::OtherConsent { .. })), "{swapped:?}");
    let moved =
        Api { binding: api("http://127.0.0.1:1", HttpMethod::Delete, Effect::Irreversible).binding, ..delete.clone() };
    assert!(matches!(executor.execute(&moved, &one, consent.clone()).await, Err(ExecuteError::OtherConsent { .. })));
    assert!(server.seen().is_empty() && confined.entries().is_empty());
    assert!(executor.execute(&delete, &one, consent).await.unwrap().succeeded);
}

#[tokio::test]
async fn a_call_is_undone_once_with_what_its_answer_said() {
    let server = fine().await;
    let confined = Confined::to(&[server.address]);
    let (create, remove) = pair(&server);
    let outcome = confined.call(&create, json!({"id": 1, "text": "x"})).await.unwrap();
    assert!(outcome.undoable);
    let executor = confined.executor();
    let elsewhere = Api { binding: pair(&fine().await).1.binding, ..remove.clone() };
    assert!(executor.inverse(&outcome.id, [elsewhere]).is_err(), "an inverse at another server is none");
    let (api, inverse) = executor.inverse(&outcome.id, [create.clone(), remove.clone()]).unwrap();
    let [first, second] = [(), ()].map(|()| executor.undo(&outcome.id, (&api, &inverse), Consent::None));
    let (first, second) = tokio::join!(first, second);
    assert_eq!(usize::from(first.is_ok()) + usize::from(second.is_ok()), 1, "{first:?} {second:?}");
    let again = said(executor.undo(&outcome.id, (&api, &inverse), Consent::None).await);
    assert!(again.contains("it has been undone"), "{again}");
    assert!(executor.inverse(&outcome.id, [remove]).is_err());
    let seen = server.seen();
    assert_eq!(seen.len(), 2);
    assert!(seen[1].starts_with("DELETE /things/7 "), "{}", seen[1]);
}

#[tokio::test]
async fn undoing_asks_as_reversible_calls_do() {
    let server = fine().await;
    let mut confined = Confined::to(&[server.address]);
    let (create, remove) = pair(&server);
    let id = confined.call(&create, json!({"id": 1})).await.unwrap().id;
    confined.config.policy = Policy::CAREFUL;
    let executor = confined.executor();
    let (api, inverse) = executor.inverse(&id, [remove]).unwrap();
    let unasked = executor.undo(&id, (&api, &inverse), Consent::None).await;
    let Err(ExecuteError::NotConfirmed { preview }) = unasked else { panic!("{unasked:?}") };
    let undone = executor.undo(&id, (&api, &inverse), Consent::Confirmed(preview.fingerprint)).await.unwrap();
    assert!(undone.succeeded && !undone.undoable);
}

#[tokio::test]
async fn an_answer_without_what_undoing_needs_makes_a_call_final() {
    let server = Server::start(|_| Reply::json(&json!({"other": 7}))).await;
    let confined = Confined::to(&[server.address]);
    let outcome = confined.call(&pair(&server).0, json!({"id": 1})).await.unwrap();
    assert!(outcome.succeeded && !outcome.undoable);
}

#[tokio::test]
async fn nothing_is_sent_that_the_journal_cannot_hold() {
    let server = fine().await;
    let mut confined = Confined::to(&[server.address]);
    confined.config.journal = PathBuf::from("/dev/full");
    let said = said(confined.call(&pair(&server).0, json!({"id": 1})).await);
    assert!(said.contains("cannot write the journal"), "{said}");
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_call_that_is_given_up_is_unknown_in_the_journal() {
    let server = Server::start(|_| Reply::Silence("")).await;
    let confined = Confined::to(&[server.address]);
    let (create, _) = pair(&server);
    let call = confined.call(&create, json!({"id": 1}));
    tokio::select! {
        _ = call => panic!("answered"),
        () = async { while server.seen().is_empty() { tokio::task::yield_now().await } } => {}
    }
    assert_eq!(confined.entries()[0].state, State::Unknown);
}
