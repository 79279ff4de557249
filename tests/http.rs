//! The official clients of OpenAI against a real aggregator and a real node, unchanged: the scripts in `examples/`.
//!
//! They are fetched with pip and npm, once, into a folder of the cache.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

#[allow(dead_code, reason = "other tests use the rest")]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use support::{MODEL, Process};
use synod_proto::v1::{DescribeRequest, node_service_client::NodeServiceClient};

const EMBEDDER: &str = "all-minilm-l6-v2";

/// A folder that outlives the test, and the clone.
fn cache(name: &str) -> PathBuf {
    let home = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = home.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache"));
    let folder = home.join("synod-ci").join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Runs it to a good end, and gives what it said.
#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{said}\n{errors}", output.status);
    said.into_owned()
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

/// A node, and an aggregator whose address is the URL that clients take.
fn cluster() -> (Process, Process) {
    let models = format!("{MODEL},{EMBEDDER}");
    let node = Process::start(&["node", "--model", &models, "--listen", "127.0.0.1:0"], "node listening on ");
    let listen = ["aggregator", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--node", &node.address];
    let aggregator = Process::start(&listen, "HTTP on ");
    (node, aggregator)
}

/// Until the engine works on nothing: what was left in the middle was stopped.
async fn until_idle(node: &Process) {
    let mut client = NodeServiceClient::connect(format!("http://{}", node.address)).await.unwrap();
    let began = Instant::now();
    loop {
        let models = client.describe(DescribeRequest {}).await.unwrap().into_inner().models;
        if models.iter().all(|model| model.running == 0 && model.queued == 0) {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "the engine goes on for a client that left");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_runs_unchanged() {
    let packages = cache("openai-py");
    if !packages.join("openai").exists() {
        run(Command::new("python3").args(["-m", "pip", "install", "--quiet", "openai", "--target"]).arg(&packages));
    }
    let (node, aggregator) = cluster();
    let mut client = Command::new("python3");
    client.env("PYTHONPATH", packages).arg(example("openai_client.py"));
    let said = run(client.args([&aggregator.address, MODEL, EMBEDDER]));
    assert!(said.contains("cancel: left in the middle") && said.contains("embeddings: 384 dimensions"), "{said}");
    until_idle(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node.js and npm: .ci/run runs it"]
async fn the_javascript_client_runs_unchanged() {
    let folder = cache("openai-js");
    if !folder.join("node_modules/openai").exists() {
        run(Command::new("npm")
            .args(["install", "--silent", "--no-fund", "--no-audit", "openai"])
            .current_dir(&folder));
    }
    // Modules are looked for beside the script.
    let script = folder.join("openai_client.mjs");
    fs::copy(example("openai_client.mjs"), &script).unwrap();
    let (node, aggregator) = cluster();
    let said = run(Command::new("node").arg(script).args([&aggregator.address, MODEL, EMBEDDER]));
    assert!(said.contains("cancel: left in the middle") && said.contains("embeddings: 384 dimensions"), "{said}");
    until_idle(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_made_on_the_command_line_open_the_door_and_revoked_ones_do_not() {
    let folder = tempfile::TempDir::new().unwrap();
    let (config, keys) = (folder.path().join("synod.toml"), folder.path().join("keys.json"));
    fs::write(&config, format!("[http]\nkeys = '{}'\n", keys.display())).unwrap();
    let synod = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_synod"));
        run(command.args(arguments).arg("--config").arg(&config))
    };
    let key = synod(&["keys", "add", "--tenant", "me", "--rpm", "60"]);
    assert!(key.starts_with("sk-synod-"), "{key}");
    let listed = synod(&["keys", "list"]);
    assert!(listed.contains("me  60 requests/min") && !listed.contains(key.trim()), "{listed}");
    let config_flag = config.to_str().unwrap();
    let aggregator = Process::start(
        &[
            "aggregator",
            "--listen",
            "127.0.0.1:0",
            "--http",
            "127.0.0.1:0",
            "--node",
            "127.0.0.1:1",
            "--config",
            config_flag,
        ],
        "HTTP on ",
    );
    let (address, key) = (aggregator.address.clone(), key.trim().to_owned());
    assert_eq!((http_status(&address, &key).await, http_status(&address, "sk-synod-wrong").await), (200, 401));
    synod(&["keys", "revoke", listed.split(' ').next().unwrap()]);
    let began = Instant::now();
    while http_status(&address, &key).await != 401 {
        assert!(began.elapsed() < Duration::from_secs(10), "a revoked key still opens");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Of the list of models, asked for with this key.
async fn http_status(url: &str, key: &str) -> u16 {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let address = url.trim_start_matches("http://").trim_end_matches("/v1");
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /v1/models HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    reply.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn other_machines_are_served_with_keys_and_tls_or_not_at_all() {
    let synod = |arguments: &[&str]| {
        let folder = tempfile::TempDir::new().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_synod"));
        command.args(["aggregator", "--listen", "127.0.0.1:0", "--node", "127.0.0.1:1"]).args(arguments);
        let output = command.env("XDG_CONFIG_HOME", folder.path()).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = synod(&["--http", "0.0.0.0:0"]);
    assert!(code == Some(64) && said.contains("no API keys") && said.contains("synod keys add"), "{said}");
}
