//! What well-meaning clients get.

use serde_json::{Value, json};

use super::fixture::{Web, ask, ask_with};

const CHAT: &str = "/v1/chat/completions";

/// A tool and a question that it is for.
fn with_tool(model: &str, more: Value) -> Value {
    let tool =
        json!({"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}});
    let mut body = ask_with(model, json!({"tools": [tool]}));
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn topologies_and_hosted_models_are_models_with_their_context() {
    let web = Web::start().await;
    let list = web.get("/v1/models", &[]).await.json();
    let told: Vec<(&str, &str)> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| (model["id"].as_str().unwrap(), model["synod"]["kind"].as_str().unwrap()))
        .collect();
    for known in [("mixture", "topology"), ("moa", "topology"), ("s", "model")] {
        assert!(told.contains(&known), "{told:?}");
    }
    let mixture = web.get("/v1/models/mixture", &[]).await.json();
    assert_eq!((&mixture["context_length"], &mixture["synod"]["ready"]), (&json!(2048), &json!(true)));
    let missing = web.get("/v1/models/nothing", &[]).await;
    assert_eq!(missing.error(), (404, json!("model_not_found"), json!("model")));
    assert_eq!(missing.headers["x-should-retry"], "false");
    assert!(missing.headers.contains_key("x-request-id"));
}

#[tokio::test]
async fn a_completion_has_every_required_field_and_drafts_where_they_are_asked_for() {
    let web = Web::start().await;
    let reply = web.post(CHAT, &ask_with("mixture", json!({"synod": {"drafts": true}, "n": 2}))).await;
    let completion = reply.json();
    assert_eq!(completion["object"], "chat.completion");
    assert_eq!(completion["id"], format!("chatcmpl-{}", reply.headers["x-request-id"]));
    assert_eq!(completion["choices"].as_array().unwrap().len(), 2);
    let choice = &completion["choices"][0];
    assert_eq!((&choice["message"]["content"], &choice["finish_reason"]), (&json!("the one answer"), &json!("stop")));
    let mut drafts: Vec<_> = choice["synod"]["drafts"].as_array().unwrap().iter().map(|draft| &draft["text"]).collect();
    drafts.sort_by_key(|text| text.to_string());
    assert_eq!(drafts, ["draft of a", "draft of b"]);
    // Six calls of three words each.
    assert_eq!(completion["usage"]["completion_tokens"], 18);
}

#[tokio::test]
async fn a_stream_has_a_role_words_a_reason_its_usage_and_an_end() {
    let web = Web::start().await;
    let options = json!({"stream": true, "stream_options": {"include_usage": true}, "synod": {"drafts": true}});
    let reply = web.post(CHAT, &ask_with("mixture", options)).await;
    assert_eq!(reply.headers["content-type"], "text/event-stream");
    assert!(reply.body.ends_with("data: [DONE]\n\n"), "{}", reply.body);
    let chunks = reply.events();
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let words = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str());
    assert_eq!(words.collect::<String>(), "the one answer");
    assert_eq!(chunks.iter().filter(|chunk| chunk["synod"]["draft"].is_object()).count(), 2);
    let [.., last, usage] = chunks.as_slice() else { panic!("{chunks:?}") };
    assert_eq!((&last["choices"][0]["finish_reason"], &last["usage"]), (&json!("stop"), &Value::Null));
    assert_eq!((&usage["choices"], &usage["usage"]["completion_tokens"]), (&json!([]), &json!(9)));
}

#[tokio::test]
async fn calls_come_as_calls_whole_and_streamed() {
    let web = Web::start().await;
    let choice = web.post(CHAT, &with_tool("caller", json!({}))).await.json()["choices"][0].take();
    assert_eq!((&choice["finish_reason"], &choice["message"]["content"]), (&json!("tool_calls"), &Value::Null));
    let call = &choice["message"]["tool_calls"][0];
    assert_eq!(call["function"], json!({"name": "f", "arguments": "{\"x\":1}"}));
    let chunks = web.post(CHAT, &with_tool("caller", json!({"stream": true}))).await.events();
    let delta = &chunks[1]["choices"][0]["delta"]["tool_calls"][0];
    assert_eq!((&delta["index"], &delta["function"]["name"]), (&json!(0), &json!("f")));
    assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "tool_calls");
    let words = web.post(CHAT, &with_tool("s", json!({}))).await.json();
    assert_eq!(words["choices"][0]["message"]["content"], "the one answer");
    let none = web.post(CHAT, &with_tool("caller", json!({"tool_choice": "none"}))).await.json();
    assert!(none["choices"][0]["message"]["content"].as_str().unwrap().starts_with("<tool_call>"));
}

#[tokio::test]
async fn what_cannot_be_had_of_a_topology_is_refused_by_field() {
    let web = Web::start().await;
    for (more, field) in [
        (json!({"logprobs": true}), "logprobs"),
        (json!({"response_format": {"type": "json_object"}}), "response_format"),
        (with_tool("chosen", json!({})), "tools"),
    ] {
        let refused = web.post(CHAT, &ask_with("chosen", more)).await;
        assert_eq!(refused.error(), (400, json!("unsupported_parameter"), json!(field)));
    }
    assert_eq!(web.post(CHAT, &ask("chosen")).await.status, 200);
    let unsaid = web.post(CHAT, &json!({"model": "s", "messages": [{"role": "assistant", "content": "x"}]})).await;
    assert_eq!(unsaid.error(), (400, Value::Null, json!("messages")));
    let typed = web.post(CHAT, &ask_with("s", json!({"max_tokens": "many"}))).await;
    assert_eq!(typed.error(), (400, Value::Null, json!("max_tokens")));
}

#[tokio::test]
async fn a_panel_of_the_requests_own_answers() {
    let web = Web::start().await;
    let plugins = json!({"plugins": [{"id": "fusion", "analysis_models": ["a", "a", "b"], "model": "s"}], "synod": {"drafts": true}});
    let reply = web.post(CHAT, &ask_with("s", plugins)).await.json();
    assert_eq!(reply["choices"][0]["synod"]["drafts"].as_array().unwrap().len(), 3);
    let own = json!({"synod": {"proposers": ["b"], "synthesizer": "a", "drafts": true}});
    let reply = web.post(CHAT, &ask_with("mixture", own)).await.json();
    assert_eq!(reply["choices"][0]["message"]["content"], "draft of a");
    let missing = web.post(CHAT, &ask_with("mixture", json!({"synod": {"proposers": ["nobody"]}}))).await;
    assert_eq!(missing.error(), (404, json!("model_not_found"), json!("synod")));
}

#[tokio::test]
async fn a_response_and_its_events_say_the_same() {
    let web = Web::start().await;
    let body = |stream: bool| json!({"model": "s", "input": "Why?", "stream": stream});
    let whole = web.post("/v1/responses", &body(false)).await.json();
    assert_eq!(
        (&whole["status"], &whole["output"][0]["content"][0]["text"]),
        (&json!("completed"), &json!("the one answer"))
    );
    let events = web.post("/v1/responses", &body(true)).await.events();
    let numbers: Vec<u64> = events.iter().map(|event| event["sequence_number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..events.len() as u64).collect::<Vec<_>>());
    let mut kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    kinds.dedup();
    let expected = [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ];
    assert_eq!(kinds, expected);
    assert_eq!(events.last().unwrap()["response"]["output"], whole_output(&events, &whole));
    let calls = json!({"model": "caller", "input": "Why?", "tools": [{"type": "function", "name": "f"}]});
    let called = web.post("/v1/responses", &calls).await.json();
    assert_eq!(
        (&called["output"][0]["type"], &called["output"][0]["arguments"]),
        (&json!("function_call"), &json!("{\"x\":1}"))
    );
}

/// The output of the whole response under the ids of the streamed one.
fn whole_output(events: &[Value], whole: &Value) -> Value {
    let mut output = whole["output"].clone();
    output[0]["id"] = events.last().unwrap()["response"]["output"][0]["id"].clone();
    output
}

#[tokio::test]
async fn silence_is_broken_by_comments_and_a_failure_ends_the_stream_with_its_error() {
    let web = Web::start().await;
    let mut stream = web.connect().await;
    let body = ask_with("slow", json!({"stream": true})).to_string();
    let head = super::fixture::head("POST", CHAT, &[], &body);
    tokio::io::AsyncWriteExt::write_all(&mut stream, format!("{head}{body}").as_bytes()).await.unwrap();
    let mut seen = String::new();
    while seen.matches(": keep-alive").count() < 2 {
        let mut buffer = [0; 1024];
        let read = tokio::io::AsyncReadExt::read(&mut stream, &mut buffer).await.unwrap();
        assert!(read > 0, "{seen}");
        seen.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    assert!(seen.contains("begins "), "{seen}");
    // The aggregator stops: the run is ended, and the client is told so.
    web.stop().await;
    let mut rest = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut rest).await.unwrap();
    assert!(rest.contains("\"error\":{\"message\"") && !rest.contains("[DONE]"), "{rest}");
}

#[tokio::test]
async fn a_client_that_leaves_stops_the_engine_whether_it_streams_or_waits() {
    let web = Web::start().await;
    for stream in [true, false] {
        let mut client = web.connect().await;
        let body = ask_with("slow", json!({"stream": stream})).to_string();
        let head = super::fixture::head("POST", CHAT, &[], &body);
        tokio::io::AsyncWriteExt::write_all(&mut client, format!("{head}{body}").as_bytes()).await.unwrap();
        while web.node.open.load(std::sync::atomic::Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        drop(client);
        web.until_idle().await;
    }
}
