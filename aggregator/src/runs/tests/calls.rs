//! Members that propose calls of APIs.

use super::*;

#[tokio::test(start_paused = true)]
async fn the_same_call_of_an_api_is_one_vote() {
    let nodes = FakeNodes::new()
        .node("n1", "a", [Act::Propose(Some("call: read_note(id=1)"))])
        .node("n1", "b", [Act::Propose(Some("call: delete_note(id=1)"))])
        .node("n1", "c", [Act::Refuse(ErrorCode::Unavailable, "away")])
        .node("n2", "c", [Act::Propose(Some("call: delete_note(id=1)"))]);
    let (ended, _) = run(nodes, topology("calling")).await;
    let finished = ended.finished();
    assert_eq!((finished.answer.as_str(), finished.degraded), ("call: delete_note(id=1)", false));
    assert_eq!(finished.usage.completion_tokens, 15);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_finds_no_api_answers_in_words() {
    let words = |text| [Act::Propose(None), say(text)];
    let nodes = FakeNodes::new().node("n1", "a", words("It rains.")).node("n1", "b", words("It rains.")).node(
        "n1",
        "c",
        [Act::Refuse(ErrorCode::PromptRefused, "this node has no catalogues")],
    );
    let (ended, nodes) = run(nodes, topology("calling")).await;
    assert_eq!(ended.finished().answer, "It rains.");
    assert!(ended.lost()[0].error.contains("no catalogues"), "{:?}", ended.lost());
    assert!(nodes.prompt("a").contains("Why?"));
    // What looking for an API cost is counted.
    let wrote = |event: &Event| if let Event::MemberFinished(member) = event { Some(member.usage) } else { None };
    assert!(ended.events.iter().filter_map(wrote).all(|usage| usage.prompt_tokens > 10));
}
