//! Syntheses that begin while drafts are written.

use super::*;

/// [`MIXTURE`] with the synthesis beginning at another time.
async fn overlapped(overlap: &str, nodes: FakeNodes) -> (Ended, Arc<FakeNodes>) {
    let nodes = Arc::new(nodes);
    let toml = MIXTURE.replacen(
        "member = { model = \"s\" }",
        &format!("member = {{ model = \"s\" }}\noverlap = \"{overlap}\""),
        1,
    );
    let topologies = from_toml(&toml, &Known::default()).unwrap();
    let runner = Runner::new(Arc::clone(&nodes) as Arc<_>, topologies, Prompts::builtin().unwrap(), Limits::standard());
    let ended = ended(runner.start(question()).unwrap()).await;
    (ended, nodes)
}

/// A text long enough to be read in pieces.
fn long(name: &str) -> String {
    (0..200).map(|n| format!("{name}{n} is a word, ")).collect::<String>() + "and that is all."
}

fn slow_writers() -> FakeNodes {
    let slow = |seconds, name: &str| [Act::Write(Duration::from_millis(seconds), long(name))];
    all_well().node("n1", "a", slow(3, "a")).node("n1", "b", slow(1, "b")).node("n2", "c", slow(2, "c"))
}

#[tokio::test(start_paused = true)]
async fn reading_ahead_gives_the_same_prompt() {
    let (off, nodes) = overlapped("off", slow_writers()).await;
    let (plain, at_once) = (nodes.prompt("s"), nodes.parts_of("s"));
    let (chunk, nodes) = overlapped("chunk", slow_writers()).await;
    assert_eq!(nodes.prompt("s"), plain);
    assert!(nodes.parts_of("s") > at_once + 10, "{} parts and {at_once}", nodes.parts_of("s"));
    assert_eq!(chunk.finished().answer, off.finished().answer);
    // By arrival: b, c, a; the words around them are the same.
    let (_, nodes) = overlapped("draft", slow_writers()).await;
    assert_eq!(nodes.quoted("s"), [long("b"), long("c"), long("a")]);
    assert_eq!(nodes.parts_of("s"), at_once);
}

#[tokio::test(start_paused = true)]
async fn a_draft_that_is_lost_half_read_is_not_in_the_prompt() {
    for lost in ["a", "b", "c"] {
        let node = if lost == "c" { "n2" } else { "n1" };
        let breaks = slow_writers().node(node, lost, [Act::BreakOff(long(lost))]);
        let (ended, nodes) = overlapped("chunk", breaks).await;
        assert_eq!(ended.finished().answer, "the one answer");
        let quoted = nodes.quoted("s");
        assert_eq!(quoted.len(), 2);
        assert!(!nodes.prompt("s").contains(&format!("{lost}1 is a word")), "{lost} is in the prompt");
        assert_eq!(nodes.open.load(Ordering::SeqCst), 0);
    }
}
