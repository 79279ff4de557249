//! Real programs at the other end: the notes service, an MCP server, a gRPC server that describes itself.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use synod_agent_node::apis::execute::{Consent, Content, Executor, Limits, State};
use synod_agent_node::apis::{Api, Binding, Effect, HttpBinding, HttpMethod, Notation, Place};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;

use super::support::{Confined, Reply, Server, call, said};

/// Speaks MCP over its pipes: `add` adds, `hang` does not answer, anything else is unknown.
const MCP_SERVER: &str = r#"
import json, os, sys
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked: continue
    if asked["method"] == "initialize":
        result = {"protocolVersion": asked["params"]["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": {"name": "t", "version": "1"}}
    elif asked["params"]["name"] == "add":
        numbers = asked["params"]["arguments"]
        result = {"content": [{"type": "text", "text": json.dumps({"sum": numbers["a"] + numbers["b"], "env": sorted(os.environ)})}]}
    elif asked["params"]["name"] == "hang":
        open(sys.argv[1], "w").write(str(os.getpid()))
        continue
    else:
        result = {"content": [{"type": "text", "text": "no such tool"}], "isError": True}
    print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}), flush=True)
"#;

fn described(name: &str, parameters: Value, binding: Binding, effect: Effect) -> Api {
    Api {
        name: name.to_owned(),
        description: String::new(),
        domain: String::new(),
        parameters,
        notation: Notation::Json,
        binding: Some(binding),
        effect,
        details: Default::default(),
    }
}

fn tool(server: &str, tool: &str) -> Api {
    let binding = Binding::Mcp { server: server.to_owned(), tool: tool.to_owned() };
    described(tool, json!({"type": "object"}), binding, Effect::Read)
}

/// Ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn notes() -> (Process, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/notes.py");
    let started = Command::new("python3").arg(script).arg("0").stdout(Stdio::piped()).spawn();
    let mut process = Process(started.expect("these tests need python3"));
    let mut line = String::new();
    BufReader::new(process.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (process, line.trim().trim_end_matches("/openapi.json").to_owned())
}

fn note(server: &str, name: &str, method: HttpMethod, path: &str, places: &[(&str, Place)], effect: Effect) -> Api {
    let places = places.iter().map(|(name, place)| ((*name).to_owned(), *place)).collect();
    let binding = HttpBinding { method, server: server.to_owned(), path: path.to_owned(), places, credential: None };
    described(name, json!({"type": "object"}), Binding::Http(binding), effect)
}

#[tokio::test]
async fn a_note_is_written_read_and_taken_back() {
    let (_process, server) = notes();
    let address = server.trim_start_matches("http://").parse().unwrap();
    let confined = Confined::to(&[address]);
    let inverse = [("id".to_owned(), "/result/id".to_owned())].into();
    let effect = Effect::Reversible { inverse: "delete_note".to_owned(), arguments: inverse };
    let create = note(&server, "create_note", HttpMethod::Post, "/notes", &[("text", Place::Body)], effect);
    let list = note(&server, "list_notes", HttpMethod::Get, "/notes", &[("word", Place::Query)], Effect::Read);
    let id = [("id", Place::Path)];
    let delete = note(&server, "delete_note", HttpMethod::Delete, "/notes/{id}", &id, Effect::Irreversible);
    let created = confined.call(&create, json!({"text": "buy milk"})).await.unwrap();
    assert_eq!((created.status.as_str(), created.undoable), ("201 Created", true));
    let listed = confined.call(&list, json!({"word": "milk"})).await.unwrap();
    let expected = json!([{"id": 1, "text": "buy milk", "tag": null, "published": false}]);
    assert_eq!(listed.result, Content::Json(expected));
    let executor = confined.executor();
    let (api, inverse) = executor.inverse(&created.id, [delete.clone()]).unwrap();
    assert!(executor.undo(&created.id, (&api, &inverse), Consent::None).await.unwrap().succeeded);
    assert_eq!(confined.call(&list, json!({})).await.unwrap().result, Content::Json(json!([])));
    let gone = confined.call(&delete, json!({"id": 1})).await.unwrap();
    assert_eq!((gone.succeeded, gone.status.as_str()), (false, "404 Not Found"));
    let states: Vec<_> = confined.entries().iter().map(|entry| entry.state).collect();
    assert_eq!(states, [State::Done, State::Done, State::Done, State::Done, State::Failed]);
}

#[tokio::test]
async fn a_tool_of_a_program_answers_without_seeing_our_environment() {
    let confined = Confined::to(&[]);
    let script = confined.folder.path().join("server.py");
    std::fs::write(&script, MCP_SERVER).unwrap();
    let server = format!("python3 {}", script.display());
    let outcome = confined.call(&tool(&server, "add"), json!({"a": 2, "b": 3})).await.unwrap();
    let Content::Json(result) = outcome.result else { panic!("no JSON") };
    assert_eq!(result["sum"], 5);
    let is_cargos = |name: &str| name.starts_with("CARGO");
    assert!(std::env::vars().any(|(name, _)| is_cargos(&name)), "cargo test tells its tests where they are");
    let seen: Vec<&str> = result["env"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(seen.contains(&"PATH") && !seen.iter().any(|name| is_cargos(name)), "{seen:?}");
    let refused = confined.call(&tool(&server, "other"), json!({})).await.unwrap();
    assert!(!refused.succeeded);
    assert_eq!(confined.entries()[1].state, State::Failed);
}

#[tokio::test]
async fn a_tool_that_hangs_is_ended_with_all_that_it_started() {
    let mut confined = Confined::to(&[]);
    confined.config.limits.time = Duration::from_secs(2);
    let (script, pid) = (confined.folder.path().join("server.py"), confined.folder.path().join("pid"));
    std::fs::write(&script, MCP_SERVER).unwrap();
    // The shell stays between us and the server.
    let server = format!("sh -c 'python3 {} {}; true'", script.display(), pid.display());
    let said = said(confined.call(&tool(&server, "hang"), json!({})).await);
    assert!(said.contains("may have been made"), "{said}");
    let process = format!("/proc/{}/stat", std::fs::read_to_string(pid).unwrap());
    let runs = || std::fs::read_to_string(&process).is_ok_and(|stat| !stat.contains(") Z "));
    while runs() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_program_that_floods_or_is_none_is_not_asked() {
    let confined = Confined::to(&[]);
    for server in ["yes", "true", "/nonexistent/server", "sh 'unclosed"] {
        said(confined.call(&tool(server, "add"), json!({})).await);
    }
    assert!(confined.entries().iter().all(|entry| entry.state == State::NotSent), "{:?}", confined.entries());
}

#[tokio::test]
async fn an_mcp_server_over_http_is_guarded_as_any_other() {
    let server = Server::start(|request| {
        let body: Value = serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap_or_default();
        let result = match body["method"].as_str() {
            Some("initialize") => {
                let version = &body["params"]["protocolVersion"];
                json!({"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": {"name": "t", "version": "1"}})
            }
            Some("tools/call") => json!({"content": [{"type": "text", "text": "hello"}]}),
            _ => return Reply::http("202 Accepted", "", ""),
        };
        Reply::json(&json!({"jsonrpc": "2.0", "id": body["id"], "result": result}))
    })
    .await;
    let api = tool(&format!("{}/mcp", server.url()), "greet");
    said(Confined::to(&[]).call(&api, json!({})).await);
    assert!(server.seen().is_empty());
    let outcome = Confined::to(&[server.address]).call(&api, json!({})).await.unwrap();
    assert_eq!(outcome.result, Content::Text("hello".to_owned()));
}

/// A gRPC server that describes itself: the standard health service.
async fn grpc() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_service_status("notes", tonic_health::ServingStatus::Serving).await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .unwrap();
    let server = tonic::transport::Server::builder().add_service(health).add_service(reflection);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    address
}

fn method(address: std::net::SocketAddr, method: &str) -> Api {
    let binding = Binding::Grpc { endpoint: format!("http://{address}"), method: method.to_owned() };
    described("grpc", json!({"type": "object"}), binding, Effect::Read)
}

#[tokio::test]
async fn a_grpc_method_is_called_as_the_server_describes_it() {
    let address = grpc().await;
    let confined = Confined::to(&[address]);
    let check = method(address, "grpc.health.v1.Health/Check");
    let outcome = confined.call(&check, json!({"service": "notes"})).await.unwrap();
    assert_eq!(outcome.result, Content::Json(json!({"status": "SERVING"})));
    let unknown = said(confined.call(&check, json!({"service": "other"})).await);
    assert!(unknown.contains("refused by the server: NotFound"), "{unknown}");
    let misfit = said(confined.call(&check, json!({"server": "notes"})).await);
    assert!(misfit.contains("was not sent: the arguments do not fit what it says now"), "{misfit}");
    let streaming = said(confined.call(&method(address, "grpc.health.v1.Health/Watch"), json!({})).await);
    assert!(streaming.contains("no unary method"), "{streaming}");
    let guarded = said(Confined::to(&[]).call(&check, json!({})).await);
    assert!(guarded.contains("loopback"), "{guarded}");
}

#[tokio::test]
async fn arguments_are_checked_again_before_anything_else() {
    let confined = Confined::to(&[]);
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer", "maximum": 3}}, "required": ["n"]});
    let api = Api { parameters: schema, ..tool("true", "count") };
    for wrong in [json!({}), json!({"n": "1"}), json!({"n": 4})] {
        let said = said(confined.call(&api, wrong).await);
        assert!(said.contains("do not fit its document"), "{said}");
    }
    let long = json!({"n": 1, "more": "x".repeat(Limits::USUAL.request_bytes)});
    assert!(said(confined.call(&api, long).await).contains("longer than"));
    let executor: Executor = confined.executor();
    let other = super::support::call(&tool("true", "other"), json!({}));
    assert!(executor.preview(&api, &other).is_err());
    // A pattern that takes for ever on some texts gives up.
    let endless = json!({"type": "object", "properties": {"n": {"type": "string", "pattern": "^(a+)+\\1$"}}});
    let api = Api { parameters: endless, ..tool("true", "count") };
    said(executor.execute(&api, &call(&api, json!({"n": format!("{}b", "a".repeat(64))})), Consent::None).await);
}
