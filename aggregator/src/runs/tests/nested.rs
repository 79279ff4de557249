//! Topologies within topologies.

use super::*;

/// `outer` asks the mixture and one model.
const NESTED: &str = r#"
[topologies.outer]
deadline = "60s"
[[topologies.outer.stages]]
kind = "propose"
quorum = 1
grace = "60s"
members = [{ topology = "mixture", role = "critic" }, { model = "d" }]
[[topologies.outer.stages]]
kind = "synthesize"
member = { model = "t" }
"#;

fn nested_runner(nodes: &Arc<FakeNodes>) -> Runner {
    let topologies = from_toml(&format!("{MIXTURE}{NESTED}"), &Known::default()).unwrap();
    Runner::new(Arc::clone(nodes) as Arc<_>, topologies, Prompts::builtin().unwrap(), Limits::standard())
}

fn outer() -> Question {
    Question { topology: "outer".to_owned(), run_id: "r".to_owned(), ..question() }
}

#[tokio::test(start_paused = true)]
async fn a_topology_takes_a_seat_with_a_run_of_its_own() {
    let nodes =
        FakeNodes::new().node("n", "a", [say("one")]).node("n", "b", [say("two")]).node("n", "c", [say("three")]);
    let nodes =
        Arc::new(nodes.node("n", "s", [say("of three")]).node("n", "d", [say("four")]).node("n", "t", [say("all")]));
    let runner = nested_runner(&nodes);
    let ended = ended(runner.start(outer()).unwrap()).await;
    let finished = ended.finished();
    assert_eq!((finished.answer.as_str(), finished.degraded), ("all", false), "{:?}", finished.warnings);
    let mut drafts = nodes.quoted("t");
    drafts.sort();
    assert_eq!(drafts, ["four", "of three"]);
    assert!(
        nodes.prompt("a").contains("Why?") && nodes.prompt("a").contains("Answer as a careful"),
        "{}",
        nodes.prompt("a")
    );
    assert_eq!(runner.get("r.0.0").unwrap().summary.state, RunState::Finished);
    let once = |text: &str| ended.events.iter().filter(|event| format!("{event:?}").contains(text)).count();
    assert_eq!((once("MemberStarted"), once("nested_run_id: \"r.0.0\"")), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn a_topology_that_fails_costs_its_seat_and_ends_with_its_run() {
    let refuse = || [Act::Refuse(ErrorCode::Unavailable, "down")];
    let nodes = FakeNodes::new().node("n", "a", refuse()).node("n", "b", refuse()).node("n", "c", refuse());
    let nodes = Arc::new(nodes.node("n", "s", refuse()).node("n", "d", [say("four")]).node("n", "t", [say("all")]));
    let runner = nested_runner(&nodes);
    let ended = ended(runner.start(outer()).unwrap()).await;
    assert!(ended.finished().degraded);
    assert_eq!(nodes.quoted("t"), ["four"]);
    assert_eq!(runner.get("r.0.0").unwrap().summary.state, RunState::Failed);

    let hang = FakeNodes::new().node("n", "a", [Act::Hang]).node("n", "b", [Act::Hang]).node("n", "c", [Act::Hang]);
    let nodes = Arc::new(hang.node("n", "s", [Act::Hang]).node("n", "d", [Act::Hang]).node("n", "t", [Act::Hang]));
    let runner = nested_runner(&nodes);
    let mut events = runner.start(outer()).unwrap();
    while !matches!(events.next().await, Some(Ok(Event::MemberStarted(started))) if started.model == "d") {}
    drop(events);
    runner.drain(Duration::from_secs(1)).await;
    assert_eq!(runner.get("r.0.0").unwrap().summary.state, RunState::Cancelled);
    assert_eq!(nodes.open.load(Ordering::SeqCst), 0, "every call ended with the run");
}
