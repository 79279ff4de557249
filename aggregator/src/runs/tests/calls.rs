//! Members that propose calls of APIs, and the one that makes one.

use super::*;
use crate::members::{Advised, Grammar};

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

/// Two advisers, one actor, and someone who answers.
fn acting(adviser: Act, actor: impl IntoIterator<Item = Act>) -> FakeNodes {
    FakeNodes::new()
        .node("n1", "a", [adviser.clone(), say("Words.")])
        .node("n1", "b", [adviser, say("Words.")])
        .node("n1", "c", actor)
        .node("n2", "c", [Act::Call(Ok("a second time"))])
        .node("n1", "s", [say("Done.")])
}

#[tokio::test(start_paused = true)]
async fn one_member_acts_and_the_others_advise() {
    let nodes = acting(Act::Propose(Some("call: delete_note(id=1)")), [Act::Call(Ok("gone"))]);
    let (ended, nodes) = run(nodes, topology("acting")).await;
    assert_eq!((ended.finished().answer.as_str(), ended.finished().degraded), ("Done.", false));
    // What came back is quoted to whoever answers: data. What was only proposed is not there any more.
    assert_eq!(nodes.quoted("s"), [r#"made: Ok(("200 OK", "gone"))"#]);
    let decided =
        |event: &Event| if let Event::StageFinished(stage) = event { Some(stage.decision.clone()) } else { None };
    let decided: Vec<String> = ended.events.iter().filter_map(decided).collect();
    assert_eq!(decided[1], "1 of 3 for delete_note: 200 OK");
    let requests = nodes.api_requests.lock().unwrap();
    let asked = |model: &str| requests.iter().filter(|request| request.model == model).collect::<Vec<_>>();
    assert_eq!((asked("a")[0].execute, asked("c").len(), asked("c")[0].advice.len()), (false, 1, 2));
    assert!(asked("b")[0].messages[0].1.starts_with("You advise"), "{:?}", asked("b")[0].messages);
    assert!(asked("c")[0].messages[0].1.starts_with("You make the call"), "{:?}", asked("c")[0].messages);
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_refused_is_followed_by_another() {
    let refused = [Act::Refuse(ErrorCode::PromptRefused, "this node carries out no calls")];
    let (ended, nodes) = run(acting(Act::Propose(None), refused), topology("acting")).await;
    assert!(!ended.finished().degraded);
    assert_eq!(nodes.quoted("s"), [r#"made: Ok(("200 OK", "a second time"))"#]);
    // Who found nothing is a vote as well.
    let requests = nodes.api_requests.lock().unwrap();
    assert_eq!(
        requests.iter().rfind(|request| request.execute).unwrap().advice,
        [Advised::default(), Advised::default()]
    );
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_is_lost_is_not_asked_again() {
    let lost = [Act::Refuse(ErrorCode::Unavailable, "it went away")];
    let (ended, nodes) = run(acting(Act::Propose(Some("call: delete_note(id=1)")), lost), topology("acting")).await;
    assert!(ended.finished().degraded);
    let quoted = nodes.quoted("s");
    assert!(quoted.len() == 1 && quoted[0].contains("what came of the call is not known: it went away"), "{quoted:?}");
    assert_eq!(nodes.api_requests.lock().unwrap().iter().filter(|request| request.execute).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_not_allowed_is_told_and_not_made_up() {
    let denied = [Act::Call(Err("irreversible calls are denied"))];
    let (ended, nodes) = run(acting(Act::Propose(None), denied), topology("acting")).await;
    // Why is a text, and stands where texts do.
    assert_eq!(ended.finished().warnings, ["stage 1 has no result of delete_note: its seat says why"]);
    assert_eq!(nodes.quoted("s"), [r#"made: Err("irreversible calls are denied")"#]);
}

#[tokio::test(start_paused = true)]
async fn where_no_api_fits_the_words_go_on() {
    let (ended, nodes) = run(acting(Act::Propose(None), [Act::Propose(None)]), topology("acting")).await;
    assert!(!ended.finished().degraded);
    assert_eq!(nodes.quoted("s"), ["Words.", "Words."]);
}

#[tokio::test(start_paused = true)]
async fn what_failed_after_a_call_is_not_to_be_asked_again() {
    let form = AnswerForm { grammar: Some(Grammar::JsonObject), top_logprobs: None };
    let nodes = acting(Act::Propose(None), [Act::Call(Ok("gone"))]);
    let nodes = nodes.node("n1", "s", [Act::Refuse(ErrorCode::Unavailable, "away")]);
    let (ended, nodes) = run(nodes, Question { form, ..topology("acting") }).await;
    assert_eq!(ended.failed().1.code, ErrorCode::SynthesisLost);
    let runner = runner(&nodes, Limits::standard());
    let again = runner.start(Question { refuse_acts: true, ..topology("acting") });
    assert_eq!(again.err().map(|error| error.code), Some(ErrorCode::InvalidRequest));
}
