//! Whoever looks after an aggregator needs no key, and learns nothing that keys protect.

use std::{sync::atomic::Ordering, time::Duration};

use serde_json::json;
use synod_aggregator::http::HttpLimits;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::fixture::{Reply, Web, ask, ask_with, head};

#[tokio::test]
async fn health_and_metrics_need_no_key_where_questions_do() {
    let web = Web::start_with(HttpLimits::standard(), true).await;
    assert_eq!(web.get("/v1/models", &[]).await.status, 401);
    let alive = web.get("/healthz", &[]).await;
    assert_eq!((alive.status, alive.json()), (200, json!({"alive": true})));
    let metrics = web.get("/metrics", &[]).await;
    assert_eq!(
        (metrics.status, metrics.headers["content-type"].as_str()),
        (200, "text/plain; version=0.0.4; charset=utf-8")
    );
    assert_eq!(web.post("/metrics", &json!({})).await.status, 405);
    // A page of the web that has its own name point here is told nothing either.
    assert_eq!(web.get("/metrics", &[("host", "evil.example")]).await.status, 403);
}

#[tokio::test]
async fn labels_are_names_that_are_here_and_never_what_a_caller_wrote() {
    let web = Web::start().await;
    assert_eq!(web.get("/readyz", &[]).await.json(), json!({"ready": true}));
    assert_eq!(web.post("/v1/chat/completions", &ask("s")).await.status, 200);
    assert_eq!(web.post("/v1/chat/completions", &ask("mixture")).await.status, 200);
    for (model, more) in [("made-up", json!({})), ("mixture", json!({"synod": {"proposers": ["made-up"]}}))] {
        assert_eq!(web.post("/v1/chat/completions", &ask_with(model, more)).await.status, 404);
    }
    // A run's client knows of its end a moment before it is counted.
    let metrics = loop {
        let metrics = web.get("/metrics", &[]).await.body;
        if metrics.lines().any(|line| line == "synod_runs_in_flight 0.0") {
            break metrics;
        }
    };
    for line in [
        "synod_runs_total{topology=\"s\",outcome=\"finished\"} 1",
        "synod_runs_total{topology=\"mixture\",outcome=\"finished\"} 1",
        "synod_nodes{state=\"ready\"} 1.0",
    ] {
        assert!(metrics.lines().any(|one| one == line), "no `{line}` in\n{metrics}");
    }
    assert!(!metrics.contains("made-up"), "{metrics}");
}

#[tokio::test]
async fn who_drains_is_alive_and_not_ready() {
    let web = Web::start().await;
    let address = web.address;
    let body = ask("slow").to_string();
    let mut asker = web.connect().await;
    asker.write_all(format!("{}{body}", head("POST", "/v1/chat/completions", &[], &body)).as_bytes()).await.unwrap();
    // The run holds the drain up for as long as the limits let it.
    while web.node.open.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let stopping = tokio::spawn(web.stop());
    let get = async |path: &str| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(head("GET", path, &[], "").as_bytes()).await.unwrap();
        Reply::read(&mut stream).await
    };
    let draining = loop {
        let reply = get("/readyz").await;
        if reply.status != 200 {
            break reply;
        }
    };
    assert_eq!((draining.status, draining.json()), (503, json!({"ready": false, "reason": "draining"})));
    assert_eq!(get("/healthz").await.status, 200);
    stopping.await.unwrap();
}
