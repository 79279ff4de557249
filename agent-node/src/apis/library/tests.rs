use std::{fs, path::Path};

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::apis::Retriever;

/// A library and a source with these functions, which several libraries may share as processes would.
struct Fixture {
    folder: TempDir,
    library: Arc<Library>,
}

impl Fixture {
    async fn with(functions: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let fixture = Self { library: Arc::new(Self::open(folder.path())), folder };
        fixture.write(functions);
        fixture.add().await;
        fixture
    }

    fn open(folder: &Path) -> Library {
        Library::open(folder.join("apis"), LazyEmbedder::none())
    }

    fn source(&self) -> std::path::PathBuf {
        self.folder.path().join("functions.json")
    }

    fn write(&self, functions: &[(&str, &str)]) {
        let list: Vec<_> = functions
            .iter()
            .map(|(name, text)| json!({"name": name, "description": text, "parameters": {"type": "object"}}))
            .collect();
        fs::write(self.source(), serde_json::to_vec(&list).unwrap()).unwrap();
    }

    async fn add(&self) -> Change {
        let source = Source { location: self.source().to_str().unwrap().to_owned(), kind: None };
        self.library.add("c", source, Arc::new(|_, _| {})).await.unwrap()
    }

    async fn refresh(&self) -> Result<Change, LibraryError> {
        self.library.refresh("c", Arc::new(|_, _| {})).await
    }

    fn file_of(&self, version: &str) -> std::path::PathBuf {
        self.folder.path().join(format!("apis/c/{version}.json"))
    }
}

fn names(indexed: &Indexed) -> Vec<&str> {
    indexed.catalogue().apis().iter().map(|api| api.name.as_str()).collect()
}

#[test]
fn a_name_that_would_leave_the_folder_is_refused() {
    let library = Library::open("nowhere", LazyEmbedder::none());
    for name in ["", "..", "a/b", "-x", ".hidden", "a b", &"x".repeat(65)] {
        assert!(matches!(library.get(name), Err(LibraryError::Name { .. })), "{name}");
    }
    assert!(matches!(library.get("weather"), Err(LibraryError::Unknown { known, .. }) if known.is_empty()));
}

#[tokio::test]
async fn a_node_that_runs_sees_at_its_next_look_what_another_process_published() {
    let fixture = Fixture::with(&[("weather", "tells the weather"), ("time", "tells the time")]).await;
    let node = Fixture::open(fixture.folder.path());
    let before = node.get("c").unwrap();
    assert!(Arc::ptr_eq(&before, &node.get("c").unwrap()), "what has not changed is not read again");
    fixture.write(&[("forecast", "tells the weather"), ("time", "tells the time, and the date")]);
    let change = fixture.refresh().await.unwrap();
    let one = |name: &str| vec![name.to_owned()];
    let expected = Difference { added: one("forecast"), changed: one("time"), removed: one("weather") };
    assert_eq!((change.published, change.difference), (true, expected));
    let after = node.get("c").unwrap();
    assert_eq!(names(&after), ["forecast", "time"]);
    assert_eq!(after.search("weather", 1, Retriever::Bm25).unwrap()[0].api.name, "forecast");
    assert_eq!(names(&before), ["time", "weather"], "a call under way goes on with what it began with");
    node.remove("c").unwrap();
    assert!(matches!(fixture.library.get("c"), Err(LibraryError::Unknown { .. })));
}

#[tokio::test]
async fn a_source_that_says_the_same_publishes_nothing() {
    let fixture = Fixture::with(&[("a", "x"), ("b", "y")]).await;
    let before = fixture.library.get("c").unwrap();
    fixture.write(&[("b", "y"), ("a", "x")]);
    assert!(!fixture.refresh().await.unwrap().published);
    assert!(Arc::ptr_eq(&before, &fixture.library.get("c").unwrap()));
}

#[tokio::test]
async fn a_source_that_is_broken_leaves_the_last_version() {
    let fixture = Fixture::with(&[("a", "x")]).await;
    fixture.write(&[]);
    assert!(matches!(fixture.refresh().await, Err(LibraryError::Source(_) | LibraryError::Empty { .. })));
    fs::remove_file(fixture.source()).unwrap();
    assert!(matches!(fixture.refresh().await, Err(LibraryError::Source(_))));
    assert_eq!(names(&fixture.library.get("c").unwrap()), ["a"]);
}

#[tokio::test]
async fn a_damaged_version_gives_way_to_the_one_before_and_a_refresh_repairs_it() {
    let fixture = Fixture::with(&[("old", "x")]).await;
    fixture.write(&[("new", "x")]);
    let version = fixture.refresh().await.unwrap().version;
    let content = fs::read_to_string(fixture.file_of(&version)).unwrap();
    // Still JSON, still APIs: only the sum tells.
    fs::write(fixture.file_of(&version), content.replace("\"new\"", "\"bad\"")).unwrap();
    assert_eq!(names(&Fixture::open(fixture.folder.path()).get("c").unwrap()), ["old"]);
    assert!(fixture.refresh().await.unwrap().published);
    assert_eq!(names(&Fixture::open(fixture.folder.path()).get("c").unwrap()), ["new"]);
}

#[tokio::test]
async fn a_damaged_head_is_an_error_for_who_starts_and_none_for_who_runs() {
    let fixture = Fixture::with(&[("a", "x")]).await;
    fixture.library.get("c").unwrap();
    for damage in ["", "{}", r#"{"source":{"location":"x","kind":null},"versions":["../../etc/passwd"]}"#] {
        fs::write(fixture.folder.path().join("apis/c/catalogue.json"), damage).unwrap();
        let error = Fixture::open(fixture.folder.path()).get("c").unwrap_err();
        assert!(error.to_string().contains("synod apis add"), "{error}");
        assert_eq!(names(&fixture.library.get("c").unwrap()), ["a"]);
    }
    fixture.add().await;
    assert_eq!(names(&Fixture::open(fixture.folder.path()).get("c").unwrap()), ["a"]);
}
