//! Clients who mean no good: each gets a refusal or loses its connection, and the others are served on. `docs/http.md` has the
//! table.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use synod_aggregator::http::HttpLimits;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::fixture::{Reply, Web, ask, ask_with, head};

const CHAT: &str = "/v1/chat/completions";

#[tokio::test]
async fn a_body_of_100_megabytes_is_refused_unread_announced_or_not() {
    let web = Web::start().await;
    let announced = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: 100000000\r\n\r\n"
    );
    assert_eq!(web.raw(announced.as_bytes()).await.error(), (413, json!("body_too_large"), Value::Null));
    let mut stream = web.connect().await;
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("100000\r\n{}\r\n", "x".repeat(1 << 20));
    let mut sent = 0;
    while sent < 100 && stream.write_all(chunk.as_bytes()).await.is_ok() {
        sent += 1;
    }
    assert!(sent < 100, "all of it was read");
    web.serves_others().await;
}

#[tokio::test]
async fn a_body_that_trickles_is_given_up() {
    let limits = HttpLimits { body: Duration::from_millis(300), ..HttpLimits::standard() };
    let web = Web::start_with(limits, false).await;
    let mut stream = web.connect().await;
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: 1000\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(Reply::read(&mut stream).await.error(), (408, json!("body_timeout"), Value::Null));
    web.serves_others().await;
}

#[tokio::test]
async fn ten_thousand_headers_and_an_endless_one_are_refused() {
    let web = Web::start().await;
    let many: String = (0..10_000).map(|at| format!("x-{at}: y\r\n")).collect();
    let long = format!("x-long: {}\r\n", "y".repeat(1 << 20));
    for headers in [many, long] {
        let reply = web.raw(format!("GET /v1/models HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n").as_bytes()).await;
        // The connection may be reset before the status is read: more was on its way.
        assert!(matches!(reply.status, 431 | 0), "{}", reply.status);
    }
    web.serves_others().await;
}

#[tokio::test]
async fn a_schema_a_thousand_deep_and_a_stop_of_a_megabyte_are_refused_by_field() {
    let web = Web::start().await;
    let schema = format!("{}{{}}{}", "{\"properties\":{\"a\":".repeat(1000), "}}".repeat(1000));
    let format = format!("{{\"type\":\"json_schema\",\"json_schema\":{{\"name\":\"x\",\"schema\":{schema}}}}}");
    let question = ask("s").to_string();
    let body = format!("{},\"response_format\":{format}}}", &question[..question.len() - 1]);
    let reply = web.raw(format!("{}{body}", head("POST", CHAT, &[], &body)).as_bytes()).await;
    assert_eq!(reply.error().0, 400);
    assert!(reply.body.contains("recursion limit"), "{}", reply.body);
    let stop = web.post(CHAT, &ask_with("s", json!({"stop": "x".repeat(1 << 20)}))).await;
    assert_eq!(stop.error(), (400, Value::Null, json!("stop")));
    web.serves_others().await;
}

#[tokio::test]
async fn who_reads_a_byte_a_second_holds_up_nobody() {
    let web = Web::start().await;
    let mut slow = web.connect().await;
    let body = ask_with("mixture", json!({"stream": true})).to_string();
    slow.write_all(format!("{}{body}", head("POST", CHAT, &[], &body)).as_bytes()).await.unwrap();
    let mut byte = [0];
    slow.read_exact(&mut byte).await.unwrap();
    // Its run is over and off the node although it has read one byte.
    web.until_idle().await;
    web.serves_others().await;
}

#[tokio::test]
async fn who_reads_nothing_of_a_long_answer_is_cut_off() {
    let limits = HttpLimits { write: Duration::from_millis(300), ..HttpLimits::standard() };
    let web = Web::start_with(limits, false).await;
    let mut deaf = web.connect().await;
    // Small requests with larger replies, never read: once the sockets are full, nothing moves.
    let request = "GET /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(100);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(60) {
        match timeout(Duration::from_secs(5), deaf.write_all(request.as_bytes())).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return web.serves_others().await,
            Err(_) => panic!("it is kept without reading"),
        }
    }
    panic!("it is served without reading");
}

#[tokio::test]
async fn idle_connections_beyond_the_limit_keep_nobody_out() {
    let limits = HttpLimits { connections: 100, ..HttpLimits::standard() };
    let web = Web::start_with(limits, false).await;
    let mut idle = Vec::new();
    for _ in 0..600 {
        idle.push(web.connect().await);
    }
    web.serves_others().await;
    let mut byte = [0];
    // The first of them made room for later ones.
    assert!(matches!(timeout(Duration::from_secs(5), idle[0].read(&mut byte)).await, Ok(Ok(0) | Err(_))));
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let limits = HttpLimits { head: Duration::from_millis(200), ..HttpLimits::standard() };
    let web = Web::start_with(limits, false).await;
    let (mut silent, mut half) = (web.connect().await, web.connect().await);
    half.write_all(b"GET /v1/models HTTP/1.1\r\nhost: lo").await.unwrap();
    for stream in [&mut silent, &mut half] {
        let mut bytes = Vec::new();
        timeout(Duration::from_secs(5), stream.read_to_end(&mut bytes)).await.expect("it is kept").unwrap();
    }
    web.serves_others().await;
}
