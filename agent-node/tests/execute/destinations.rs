//! Where calls would like to go.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::BoxFuture;
use serde_json::json;
use synod_agent_node::apis::execute::{ExecuteError, Lookup, State};
use synod_agent_node::apis::{Effect, HttpMethod};

use super::support::{Confined, Reply, Server, api, read, said};

async fn fine() -> Server {
    Server::start(|_| Reply::json(&json!({"ok": true}))).await
}

/// Points names at this machine, but not before the second time.
#[derive(Debug)]
struct Rebinding(AtomicUsize, [&'static str; 2]);

impl Lookup for Rebinding {
    fn lookup(&self, _: &str) -> BoxFuture<'_, std::io::Result<Vec<IpAddr>>> {
        let at = self.0.fetch_add(1, Ordering::SeqCst).min(1);
        Box::pin(async move { Ok(vec![self.1[at].parse().unwrap()]) })
    }
}

#[tokio::test]
async fn this_machine_is_out_of_reach_unless_the_configuration_names_it() {
    let server = fine().await;
    let confined = Confined::to(&[]);
    let port = server.address.port();
    let hosts = ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "127.1", "0.0.0.0"];
    for host in hosts {
        let said = said(confined.call(&read(&format!("http://{host}:{port}")), json!({"id": 1})).await);
        assert!(said.contains("was not sent") && said.contains("`networks` in [apis]"), "{host}: {said}");
    }
    let metadata = said(confined.call(&read("http://169.254.169.254"), json!({"id": "meta-data"})).await);
    assert!(metadata.contains("link-local"), "{metadata}");
    assert!(server.seen().is_empty());
    assert!(confined.entries().iter().all(|entry| entry.state == State::NotSent));
    assert!(Confined::to(&[server.address]).call(&read(&server.url()), json!({"id": 1})).await.unwrap().succeeded);
}

#[tokio::test]
async fn a_name_that_turns_to_this_machine_between_check_and_connection_wins_nothing() {
    let server = fine().await;
    let mut confined = Confined::to(&[server.address]);
    let lookup = Arc::new(Rebinding(AtomicUsize::new(0), ["127.0.0.1", "127.0.0.2"]));
    confined.config.guard.lookup = lookup.clone();
    let url = format!("http://rebinding.example:{}", server.address.port());
    // Connected to what the one look-up said, which was checked.
    assert!(confined.call(&read(&url), json!({"id": 1})).await.unwrap().succeeded);
    assert_eq!(lookup.0.load(Ordering::SeqCst), 1);
    // The next call asks again, and the new answer is checked as well.
    let said = said(confined.call(&read(&url), json!({"id": 1})).await);
    assert!(said.contains("127.0.0.2") && said.contains("loopback"), "{said}");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_redirect_is_checked_as_the_first_address_was() {
    let inside = fine().await;
    let to = inside.url();
    let server = Server::start(move |_| Reply::redirect("302 Found", &format!("{to}/secret"))).await;
    let confined = Confined::to(&[server.address]);
    let said = said(confined.call(&read(&server.url()), json!({"id": 1})).await);
    assert!(said.contains("loopback"), "{said}");
    assert!(inside.seen().is_empty());
}

#[tokio::test]
async fn a_redirect_loop_ends() {
    let server = Server::start(|_| Reply::redirect("302 Found", "/things/1")).await;
    let said = said(Confined::to(&[server.address]).call(&read(&server.url()), json!({"id": 1})).await);
    assert!(said.contains("redirects more than 3 times"), "{said}");
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn a_call_that_changes_something_is_not_sent_on() {
    let other = fine().await;
    let to = other.url();
    let server = Server::start(move |_| Reply::redirect("307 Temporary Redirect", &to)).await;
    let confined = Confined::to(&[server.address, other.address]);
    let post = api(&server.url(), HttpMethod::Post, Effect::Irreversible);
    let said = said(confined.call(&post, json!({"id": 1, "text": "private"})).await);
    assert!(said.contains("redirects a call that may change something"), "{said}");
    assert!(other.seen().is_empty());
}

#[tokio::test]
async fn arguments_stay_in_their_places() {
    let server = fine().await;
    let confined = Confined::to(&[server.address]);
    let attacks = [
        json!({"id": "../admin"}),
        json!({"id": ".."}),
        json!({"id": ""}),
        json!({"id": "1\r\nHost: evil"}),
        json!({"id": 1, "x-tag": "a\r\nX-Admin: yes"}),
        json!({"id": 1, "x-tag": "a\nSet-Cookie: b"}),
        json!({"id": 1, "unknown": true}),
        json!({}),
    ];
    for attack in attacks {
        let refused = confined.call(&read(&server.url()), attack.clone()).await;
        assert!(
            matches!(refused, Err(ExecuteError::Document { .. } | ExecuteError::Arguments { .. })),
            "{attack}: {refused:?}"
        );
    }
    assert!(server.seen().is_empty() && confined.entries().is_empty());
    let strange = json!({"id": "a/b?c#d", "q": "x&admin=1\r\n\r\nGET /", "x-tag": "t"});
    confined.call(&read(&server.url()), strange).await.unwrap();
    let seen = &server.seen()[0];
    assert!(seen.starts_with("GET /things/a%2Fb%3Fc%23d?q=x%26admin%3D1%0D%0A%0D%0AGET+%2F HTTP/1.1\r\n"), "{seen}");
}
