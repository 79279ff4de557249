//! Keys: who is let in, to what, and what of others they see.

use serde_json::{Value, json};
use synod_aggregator::{
    Client,
    http::{HttpLimits, KeyRecord},
    members::Grammar,
};

use super::fixture::{Web, ask, ask_with};

const CHAT: &str = "/v1/chat/completions";

/// A key, as the header that shows it.
fn key(web: &Web, change: impl FnOnce(&mut KeyRecord)) -> String {
    let (key, mut record) = KeyRecord::generate("a");
    change(&mut record);
    web.keys.add(record).unwrap();
    format!("Bearer {key}")
}

async fn with_keys() -> Web {
    Web::start_with(HttpLimits::standard(), true).await
}

/// Until the aggregator has looked at the file again and knows this key, and the node.
async fn until_known(web: &Web, key: &str) {
    let began = std::time::Instant::now();
    while web.get("/v1/models/s", &[("authorization", key)]).await.status != 200 {
        assert!(began.elapsed() < std::time::Duration::from_secs(10), "the key is never known");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn nobody_is_let_in_without_a_key_or_with_a_wrong_one() {
    let web = with_keys().await;
    let right = key(&web, |_| {});
    until_known(&web, &right).await;
    for headers in [&[][..], &[("authorization", "Bearer sk-synod-0000")], &[("authorization", "Basic eDp5")]] {
        for refused in [web.post_with(CHAT, headers, &ask("s")).await, web.get("/v1/models", headers).await] {
            assert_eq!(refused.error(), (401, json!("invalid_api_key"), Value::Null));
            assert_eq!(refused.headers["x-should-retry"], "false");
        }
    }
    assert_eq!(web.post_with(CHAT, &[("authorization", &right)], &ask("s")).await.status, 200);
}

#[tokio::test]
async fn a_tenant_sees_its_own_runs_and_no_others() {
    let web = with_keys().await;
    let (mine, ours, theirs) = (key(&web, |_| {}), key(&web, |_| {}), key(&web, |key| key.tenant = "b".to_owned()));
    until_known(&web, &theirs).await;
    let run = web.post_with(CHAT, &[("authorization", &mine)], &ask("s")).await.headers["x-request-id"].clone();
    let path = format!("/v1/runs/{run}");
    for (key, status, listed) in [(&mine, 200, 1), (&ours, 200, 1), (&theirs, 404, 0)] {
        let headers = [("authorization", key.as_str())];
        assert_eq!(web.get(&path, &headers).await.status, status);
        assert_eq!(web.get("/v1/runs", &headers).await.json()["data"].as_array().unwrap().len(), listed);
    }
    let headers = [("authorization", theirs.as_str())];
    let (there, nowhere) = (web.get(&path, &headers).await, web.get("/v1/runs/made-up", &headers).await);
    assert_eq!(there.body.replace(&run, "ID"), nowhere.body.replace("made-up", "ID"), "nothing tells that it is there");
}

#[tokio::test]
async fn a_run_is_recorded_with_its_tenant_its_form_and_what_it_changed() {
    let web = with_keys().await;
    let mine = key(&web, |_| {});
    until_known(&web, &mine).await;
    let wishes = json!({"response_format": {"type": "json_object"}, "synod": {"proposers": ["a"]}});
    let asked = web.post_with(CHAT, &[("authorization", &mine)], &ask_with("mixture", wishes)).await;
    let mut client = Client::connect(&web.grpc.to_string()).await.unwrap();
    let began = client.record(&asked.headers["x-request-id"]).await.unwrap().unwrap().began;
    assert_eq!((began.question.tenant.as_str(), began.topology.name.as_str()), ("a", "mixture"));
    assert_eq!(began.question.form.grammar, Some(Grammar::JsonObject));
    assert_eq!(
        (&began.question.overrides.proposers, &began.stages[0].models),
        (&vec!["a".to_owned()], &vec!["a".to_owned()])
    );
}

#[tokio::test]
async fn a_key_has_its_models_its_tokens_and_its_rates() {
    let web = with_keys().await;
    let key = key(&web, |key| {
        (key.models, key.rpm) = (vec!["s".to_owned(), "mixture".to_owned()], Some(3));
    });
    until_known(&web, &key).await;
    let headers = [("authorization", key.as_str())];
    let refused = web.post_with(CHAT, &headers, &ask("a")).await;
    assert_eq!(refused.error(), (404, json!("model_not_found"), json!("model")));
    let around = ask_with("mixture", json!({"synod": {"synthesizer": "a"}}));
    assert_eq!(web.post_with(CHAT, &headers, &around).await.status, 404, "no way around through overrides");
    let fine = web.post_with(CHAT, &headers, &ask("s")).await;
    assert_eq!((fine.headers["x-ratelimit-limit-requests"].as_str(), fine.status), ("3", 200));
    assert_eq!(fine.headers["x-ratelimit-remaining-requests"], "2");
    for _ in 0..2 {
        web.post_with(CHAT, &headers, &ask("s")).await;
    }
    let late = web.post_with(CHAT, &headers, &ask("s")).await;
    assert_eq!(late.error(), (429, json!("rate_limit_exceeded"), Value::Null));
    assert_eq!(late.headers["x-should-retry"], "true");
    assert!(late.headers["retry-after-ms"].parse::<u64>().unwrap() <= 20_000);
}

#[tokio::test]
async fn pages_of_the_web_cannot_ask_this_machine() {
    let web = Web::start().await;
    let rebound = web.get("/v1/models", &[("host", "evil.example.org")]).await;
    assert_eq!(rebound.error().0, 403);
    let form = web.post_with(CHAT, &[("content-type", "text/plain")], &ask("s")).await;
    assert_eq!(form.error().0, 415);
    let other = web.get("/v1/models", &[("origin", "https://evil.example.org")]).await;
    assert!(!other.headers.contains_key("access-control-allow-origin"));
}
