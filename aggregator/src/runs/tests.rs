mod calls;
mod nested;
mod overlap;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures::StreamExt;
use tokio::time::Instant;

use super::{
    events::{Event, MemberFailed, RunFailed, RunFinished},
    fake::{Act, FakeNodes, say},
    *,
};
use crate::{
    error::{Error, ErrorCode},
    limits::Limits,
    prompts::Prompts,
    topology::{Known, Sampling, from_toml},
};

/// Three proposers `a`, `b`, `c` with a quorum of two, a synthesiser `s`.
const MIXTURE: &str = r#"
default_topology = "mixture"
[topologies.mixture]
deadline = "60s"
[[topologies.mixture.stages]]
kind = "propose"
quorum = 2
grace = "5s"
members = [{ model = "a" }, { model = "b" }, { model = "c" }]
[[topologies.mixture.stages]]
kind = "synthesize"
member = { model = "s" }
[topologies.layers]
deadline = "90s"
[[topologies.layers.stages]]
kind = "propose"
members = [{ model = "a" }, { model = "b" }]
[[topologies.layers.stages]]
kind = "propose"
members = [{ model = "c" }]
[[topologies.layers.stages]]
kind = "synthesize"
member = { model = "s" }
[topologies.alone]
[[topologies.alone.stages]]
kind = "synthesize"
member = { model = "s" }
[topologies.short]
[[topologies.short.stages]]
kind = "synthesize"
member = { model = "s", max_tokens = 3 }
[topologies.judged]
deadline = "60s"
[[topologies.judged.stages]]
kind = "propose"
members = [{ model = "a" }, { model = "b" }]
[[topologies.judged.stages]]
kind = "select"
by = "judge"
member = { model = "j" }
[[topologies.judged.stages]]
kind = "synthesize"
member = { model = "s" }
[topologies.gated]
[[topologies.gated.stages]]
kind = "propose"
members = [{ model = "a" }, { model = "b" }]
[[topologies.gated.stages]]
kind = "gate"
when = "judge"
member = { model = "j" }
[[topologies.gated.stages]]
kind = "synthesize"
member = { model = "s" }
[topologies.calling]
[[topologies.calling.stages]]
kind = "propose"
members = [{ model = "a", apis = ["notes"] }, { model = "b", apis = ["notes"] }, { model = "c", apis = ["notes"] }]
[[topologies.calling.stages]]
kind = "select"
by = "vote"
answer = "text"
[topologies.acting]
[[topologies.acting.stages]]
kind = "propose"
members = [{ model = "a", apis = ["notes"] }, { model = "b", apis = ["notes"] }]
[[topologies.acting.stages]]
kind = "act"
member = { model = "c", apis = ["notes"] }
[[topologies.acting.stages]]
kind = "synthesize"
member = { model = "s" }
[topologies.windows]
deadline = "60s"
[[topologies.windows.stages]]
kind = "propose"
members = [{ model = "a" }, { model = "b" }, { model = "c" }]
[[topologies.windows.stages]]
kind = "synthesize"
window = 2
member = { model = "s" }
"#;

fn runner(nodes: &Arc<FakeNodes>, limits: Limits) -> Runner {
    let topologies = from_toml(MIXTURE, &Known::default()).unwrap();
    Runner::new(Arc::clone(nodes) as Arc<_>, topologies, Prompts::builtin().unwrap(), limits)
}

fn question() -> Question {
    Question { sampling: Sampling { seed: Some(1), ..Sampling::default() }, ..Question::new("Why?") }
}

/// A run from start to end.
struct Ended {
    events: Vec<Event>,
    error: Option<Error>,
    took: Duration,
}

impl Ended {
    fn finished(&self) -> &RunFinished {
        match self.events.last() {
            Some(Event::RunFinished(finished)) if self.error.is_none() => finished,
            other => panic!("expected an answer, got {other:?} and {:?}", self.error),
        }
    }

    fn failed(&self) -> (&RunFailed, &Error) {
        match (self.events.last(), &self.error) {
            (Some(Event::RunFailed(failed)), Some(error)) => (failed, error),
            other => panic!("expected a failure, got {other:?}"),
        }
    }

    fn lost(&self) -> Vec<&MemberFailed> {
        let mut lost = Vec::new();
        for event in &self.events {
            if let Event::MemberFailed(failed) = event {
                lost.push(failed);
            }
        }
        lost
    }

    fn deltas(&self) -> String {
        let delta = |event: &Event| if let Event::AnswerDelta { text, .. } = event { Some(text.clone()) } else { None };
        self.events.iter().filter_map(delta).collect()
    }
}

async fn ended(mut stream: RunStream) -> Ended {
    let started = Instant::now();
    let (mut events, mut error) = (Vec::new(), None);
    while let Some(next) = stream.next().await {
        assert!(error.is_none(), "nothing follows the error");
        match next {
            Ok(event) => events.push(event),
            Err(end) => error = Some(end),
        }
    }
    let ends = events.iter().filter(|event| matches!(event, Event::RunFinished(_) | Event::RunFailed(_))).count();
    assert_eq!(ends, 1, "a run ends exactly once");
    Ended { events, error, took: started.elapsed() }
}

async fn run(nodes: FakeNodes, question: Question) -> (Ended, Arc<FakeNodes>) {
    let nodes = Arc::new(nodes);
    let runner = runner(&nodes, Limits::standard());
    let ended = ended(runner.start(question).unwrap()).await;
    assert_eq!(nodes.open.load(Ordering::SeqCst), 0, "no stream outlives its run");
    (ended, nodes)
}

fn topology(name: &str) -> Question {
    Question { topology: name.to_owned(), ..question() }
}

fn all_well() -> FakeNodes {
    FakeNodes::new()
        .node("n1", "a", [say("draft of a")])
        .node("n1", "b", [say("draft of b")])
        .node("n2", "c", [say("draft of c")])
        .node("n2", "s", [say("the one answer")])
}

#[tokio::test(start_paused = true)]
async fn drafts_are_synthesised_into_one_answer() {
    let (ended, nodes) = run(all_well(), question()).await;
    let finished = ended.finished();
    assert_eq!((finished.answer.as_str(), ended.deltas().as_str()), ("the one answer", "the one answer"));
    assert!(!finished.degraded && finished.warnings.is_empty(), "{:?}", finished.warnings);
    assert_eq!((finished.usage.prompt_tokens, finished.usage.completion_tokens), (40, 12));
    let mut quoted = nodes.quoted("s");
    quoted.sort();
    assert_eq!(quoted, ["draft of a", "draft of b", "draft of c"]);
    assert!(matches!(ended.events.first(), Some(Event::RunStarted(_))));
}

#[tokio::test(start_paused = true)]
async fn a_dead_member_costs_only_its_seat_and_is_in_no_prompt() {
    let nodes = all_well().node("n2", "c", [Act::Refuse(ErrorCode::Unavailable, "connection refused")]);
    let (ended, nodes) = run(nodes, question()).await;
    assert_eq!(ended.finished().answer, "the one answer");
    assert!(ended.finished().degraded);
    assert!(ended.finished().warnings[0].contains("seat 2 (c)"), "{:?}", ended.finished().warnings);
    assert!(ended.lost()[0].error.contains("connection refused"));
    let mut quoted = nodes.quoted("s");
    quoted.sort();
    assert_eq!(quoted, ["draft of a", "draft of b"]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_member_is_cut_off_after_quorum_and_grace() {
    let slow = Act::Say(Duration::from_secs(20), "too late".into());
    let (ended, nodes) = run(all_well().node("n2", "c", [slow]), question()).await;
    assert_eq!(ended.took, Duration::from_secs(5));
    assert_eq!(ended.lost()[0].error, "cut off: quorum of 2 answered and 5s grace passed");
    assert!(ended.finished().degraded);
    assert_eq!(nodes.quoted("s").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_member_within_the_grace_keeps_its_seat() {
    let slow = Act::Say(Duration::from_secs(4), "just in time".into());
    let (ended, nodes) = run(all_well().node("n2", "c", [slow]), question()).await;
    assert_eq!(ended.took, Duration::from_secs(4));
    assert!(!ended.finished().degraded);
    assert_eq!(nodes.quoted("s").len(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_draft_of_a_seat_that_is_cut_off_is_told_but_not_used() {
    let (ended, nodes) = run(all_well().node("n2", "c", [Act::Babble]), question()).await;
    assert!(ended.lost()[0].text.starts_with("blah blah"));
    assert!(!nodes.quoted("s").iter().any(|draft| draft.contains("blah")));
}

#[tokio::test(start_paused = true)]
async fn a_failure_before_the_first_token_moves_to_another_node() {
    let nodes = FakeNodes::new().node("n1", "s", [Act::Refuse(ErrorCode::Unavailable, "connection refused")]).node(
        "n2",
        "s",
        [say("from the second")],
    );
    let (ended, nodes) = run(nodes, topology("alone")).await;
    assert_eq!(ended.finished().answer, "from the second");
    assert!(!ended.finished().degraded, "a seat that moved is not lost");
    assert_eq!(nodes.asked(), ["n1", "n2"]);
    let started = ended.events.iter().filter(|event| matches!(event, Event::MemberStarted(_))).count();
    assert_eq!(started, 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_the_node_stops_is_no_answer() {
    let nodes = FakeNodes::new().node("n1", "s", [Act::Stopped]).node("n2", "s", [say("from the second")]);
    let (ended, _) = run(nodes, topology("alone")).await;
    assert_eq!(ended.finished().answer, "from the second");
}

#[tokio::test(start_paused = true)]
async fn the_only_node_is_asked_once_more_after_a_pause() {
    let busy = Act::Refuse(ErrorCode::Overloaded, "the queue is full");
    let (ended, nodes) = run(FakeNodes::new().node("n1", "s", [busy.clone(), say("now")]), topology("alone")).await;
    assert_eq!(ended.finished().answer, "now");
    assert!(ended.took >= Duration::from_millis(200));
    assert_eq!(nodes.asked(), ["n1", "n1"]);

    let (ended, nodes) = run(FakeNodes::new().node("n1", "s", [busy]), topology("alone")).await;
    assert_eq!(ended.failed().1.code, ErrorCode::Overloaded);
    assert_eq!(nodes.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refused_prompt_is_not_tried_again() {
    let too_long = Act::Refuse(ErrorCode::PromptRefused, "9000 tokens do not fit into 8192");
    let nodes = FakeNodes::new().node("n1", "s", [too_long]).node("n2", "s", [say("never")]);
    let (ended, nodes) = run(nodes, topology("alone")).await;
    assert_eq!(nodes.asked(), ["n1"]);
    let (_, error) = ended.failed();
    assert_eq!(error.code, ErrorCode::PromptRefused);
    assert!(error.message.contains("node n1") && error.message.contains("9000 tokens"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_member_that_breaks_off_after_its_first_token_loses_its_seat() {
    let nodes = all_well().node("n2", "c", [Act::BreakOff("half a dr".into())]).node("n3", "c", [say("never")]);
    let (ended, nodes) = run(nodes, question()).await;
    assert_eq!(ended.lost()[0].text, "half a dr");
    assert!(!nodes.asked().contains(&"n3".to_owned()));
    assert_eq!(nodes.quoted("s").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_synthesiser_that_breaks_off_ends_the_run_with_its_text_and_the_best_draft() {
    let nodes = all_well().node("n2", "s", [Act::BreakOff("the one ans".into())]).node("n3", "s", [say("never")]);
    let (ended, nodes) = run(nodes, question()).await;
    let (failed, error) = ended.failed();
    assert_eq!(error.code, ErrorCode::SynthesisLost);
    assert_eq!((failed.answer_so_far.as_str(), ended.deltas().as_str()), ("the one ans", "the one ans"));
    assert_eq!(failed.best_draft.as_ref().unwrap().text, "draft of a");
    assert_eq!(ended.lost()[0].text, "the one ans");
    assert!(!nodes.asked().contains(&"n3".to_owned()), "another node would write another answer");
}

#[tokio::test(start_paused = true)]
async fn a_synthesiser_that_nobody_can_be_leaves_the_best_draft_as_the_answer() {
    let nodes = FakeNodes::new().node("n1", "a", [say("draft of a")]).node("n1", "b", [say("draft of b")]);
    let (ended, _) = run(nodes, question()).await;
    let finished = ended.finished();
    assert_eq!((finished.answer.as_str(), ended.deltas().as_str()), ("draft of a", "draft of a"));
    assert!(finished.degraded && finished.warnings.iter().any(|warning| warning.contains("synthesiser s could not")));
}

#[tokio::test(start_paused = true)]
async fn without_a_usable_draft_the_synthesiser_answers_alone() {
    let nodes = FakeNodes::new()
        .node("n1", "a", [say("   ")])
        .node("n1", "b", [say(&"round and round ".repeat(40))])
        .node("n1", "c", [Act::Refuse(ErrorCode::MemberFailed, "broken")])
        .node("n1", "s", [say("alone")]);
    let (ended, nodes) = run(nodes, question()).await;
    assert_eq!(ended.finished().answer, "alone");
    assert!(ended.finished().degraded);
    assert_eq!(nodes.quoted("s"), Vec::<String>::new());
    let why: Vec<&str> = ended.lost().iter().map(|lost| lost.error.as_str()).collect();
    assert!(
        why.iter().any(|why| why.contains("wrote nothing")) && why.iter().any(|why| why.contains("repeats itself"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_layer_without_a_draft_leaves_those_before_it() {
    let nodes = all_well().node("n2", "c", [Act::Refuse(ErrorCode::Unavailable, "gone")]);
    let (ended, nodes) = run(nodes, topology("layers")).await;
    assert!(ended.finished().degraded);
    assert_eq!(nodes.quoted("s").len(), 2);

    let (_, nodes) = run(all_well(), topology("layers")).await;
    assert_eq!(nodes.quoted("c").len(), 2, "the second layer sees the first");
    assert_eq!(nodes.quoted("s"), ["draft of c"]);
}

#[tokio::test(start_paused = true)]
async fn all_dead_is_a_clear_error_at_once() {
    let (ended, _) = run(FakeNodes::new(), question()).await;
    let (failed, error) = ended.failed();
    assert_eq!(error.code, ErrorCode::Unavailable);
    assert!(error.message.contains("no node is reachable for s"), "{error}");
    assert_eq!(failed.best_draft, None);
    assert!(ended.took < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn the_callers_deadline_is_kept_and_a_draft_stands_in() {
    let nodes = all_well().node("n2", "s", [Act::Hang]);
    let (ended, _) = run(nodes, Question { deadline: Some(Duration::from_secs(8)), ..question() }).await;
    assert_eq!(ended.finished().answer, "draft of a");
    assert!(ended.took <= Duration::from_secs(8) && ended.took > Duration::from_secs(7));

    let nodes = FakeNodes::new().node("n1", "s", [Act::Hang]);
    let question = Question { deadline: Some(Duration::from_secs(8)), ..topology("alone") };
    let (ended, _) = run(nodes, question).await;
    assert_eq!(ended.failed().1.code, ErrorCode::DeadlineExceeded);
    assert!(ended.took <= Duration::from_secs(8));
}

#[tokio::test(start_paused = true)]
async fn drafts_have_a_share_of_the_deadline_and_the_answer_the_rest() {
    let hanging = FakeNodes::new()
        .node("n1", "a", [say("draft of a")])
        .node("n1", "b", [Act::Hang])
        .node("n1", "c", [Act::Babble])
        .node("n1", "s", [say("answered")]);
    let (ended, _) = run(hanging, question()).await;
    assert_eq!(ended.finished().answer, "answered");
    // Half of the minute, less the margin: two stages share it.
    assert_eq!(ended.took.as_secs(), 29);
    assert_eq!(ended.lost().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_being_written_at_the_deadline_ends_as_deadline_exceeded() {
    let (ended, _) = run(all_well().node("n2", "s", [Act::Babble]), question()).await;
    let (failed, error) = ended.failed();
    assert_eq!(error.code, ErrorCode::DeadlineExceeded);
    assert!(failed.answer_so_far.starts_with("blah") && failed.best_draft.is_some());
    assert!(ended.took <= Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn another_node_is_asked_once_half_of_the_time_brought_no_word() {
    let nodes = FakeNodes::new().node("n1", "s", [Act::Hang]).node("n2", "s", [say("awake")]);
    let question = Question { deadline: Some(Duration::from_secs(8)), ..topology("alone") };
    let (ended, _) = run(nodes, question).await;
    assert_eq!(ended.finished().answer, "awake");
    assert!(!ended.finished().degraded && ended.took <= Duration::from_secs(4), "{:?}", ended.took);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_finishes_without_a_word_has_failed_and_another_is_asked() {
    let nodes = FakeNodes::new().node("n1", "s", [say("")]).node("n2", "s", [say("from the second")]);
    let (ended, _) = run(nodes, topology("alone")).await;
    assert_eq!(ended.finished().answer, "from the second");
    assert!(!ended.finished().degraded);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_writes_more_than_it_was_asked_for_is_stopped_there() {
    let (ended, _) = run(FakeNodes::new().node("n1", "s", [Act::Babble]), topology("short")).await;
    let (failed, error) = ended.failed();
    assert_eq!((error.code, failed.answer_so_far.as_str()), (ErrorCode::SynthesisLost, "blah blah blah blah "));
    assert!(error.message.contains("more than the 3 tokens"), "{error}");
}

// In real time: paused time only moves while nobody works.
#[tokio::test]
async fn a_node_that_never_stops_sending_nothing_is_as_late_as_one_that_is_silent() {
    let nodes = all_well().node("n2", "c", [Act::Flood(String::new())]).node("n2", "s", [Act::Flood("Well".into())]);
    let question = Question { deadline: Some(Duration::from_millis(400)), ..question() };
    let (ended, _) = run(nodes, question).await;
    let (failed, error) = ended.failed();
    assert_eq!((error.code, failed.answer_so_far.as_str()), (ErrorCode::DeadlineExceeded, "Well"));
    assert_eq!(ended.lost().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_judge_that_hangs_leaves_time_for_the_answer() {
    let (ended, nodes) = run(all_well().node("n1", "j", [Act::Hang]), topology("judged")).await;
    assert_eq!(ended.finished().answer, "the one answer");
    assert!(ended.finished().degraded && ended.took <= Duration::from_secs(30), "{:?}", ended.took);
    assert_eq!(nodes.quoted("s").len(), 2, "all drafts go on");
}

#[tokio::test(start_paused = true)]
async fn a_synthesis_between_that_hangs_leaves_time_for_the_next() {
    let (ended, _) = run(all_well().node("n2", "s", [Act::Hang, say("the last")]), topology("windows")).await;
    assert_eq!(ended.finished().answer, "the last");
    assert!(ended.finished().degraded && ended.took <= Duration::from_secs(30), "{:?}", ended.took);
}

#[tokio::test(start_paused = true)]
async fn a_judge_that_keeps_to_no_grammar_decides_nothing() {
    for (topology_name, says) in [("judged", "1, because I say so"), ("gated", "perhaps")] {
        let (ended, _) = run(all_well().node("n1", "j", [say(says)]), topology(topology_name)).await;
        assert_eq!(ended.finished().answer, "the one answer");
        let lost = &ended.lost()[0].error;
        assert!(ended.finished().degraded && lost.contains("none of what it could"), "{lost}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_no_text_is_given_with_a_warning() {
    let (ended, _) = run(all_well().node("n2", "s", [say("\u{1}\u{2}\u{3}")]), question()).await;
    assert!(ended.finished().warnings[0].contains("is not text"), "{:?}", ended.finished().warnings);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_ends_every_call() {
    let nodes = Arc::new(all_well().node("n1", "a", [Act::Babble]).node("n1", "b", [Act::Babble]));
    let runner = runner(&nodes, Limits::standard());
    let mut stream = runner.start(question()).unwrap();
    while !matches!(stream.next().await, Some(Ok(Event::MemberDelta { .. }))) {}
    let run_id = stream.run_id().to_owned();
    assert!(nodes.open.load(Ordering::SeqCst) > 0);
    drop(stream);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(nodes.open.load(Ordering::SeqCst), 0);
    assert_eq!(runner.get(&run_id).unwrap().summary.state, RunState::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_holds_nobody_up() {
    let nodes = Arc::new(all_well().node("n2", "s", [say(&"word ".repeat(5_000))]));
    let runner = runner(&nodes, Limits { events_queued: 16, ..Limits::standard() });
    let stream = runner.start(question()).unwrap();
    let run_id = stream.run_id().to_owned();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(runner.get(&run_id).unwrap().summary.state, RunState::Finished);
    let ended = ended(stream).await;
    assert_eq!(ended.deltas(), "word ".repeat(5_000));
    assert!(ended.events.len() < 40, "{}", ended.events.len());
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_calls() {
    let calls = async || {
        let (_, nodes) = run(all_well(), question()).await;
        let calls = nodes.calls.lock().unwrap();
        let mut calls: Vec<_> =
            calls.iter().map(|(_, call)| (call.model.clone(), call.parts.so_far(), call.sampling.clone())).collect();
        calls.sort_by(|a, b| a.0.cmp(&b.0));
        calls
    };
    assert_eq!(calls().await, calls().await);
}

#[tokio::test(start_paused = true)]
async fn what_a_node_cuts_is_told() {
    let (ended, _) = run(all_well().node("n2", "s", [Act::SayOfCut("short".into())]), question()).await;
    assert!(ended.finished().degraded);
    let warning = &ended.finished().warnings[0];
    assert!(warning.contains("saw only 3 of 10 tokens of the draft of stage 0 seat"), "{warning}");
}

#[tokio::test(start_paused = true)]
async fn an_endless_member_is_stopped_at_its_limit() {
    let nodes = Arc::new(all_well().node("n2", "c", [Act::Babble]));
    let limits = Limits { seat_bytes: 20, ..Limits::standard() };
    let ended = ended(runner(&nodes, limits).start(question()).unwrap()).await;
    assert!(ended.lost()[0].error.contains("more than the 20 bytes allowed"), "{:?}", ended.lost());
}

#[tokio::test(start_paused = true)]
async fn what_breaks_a_rule_is_refused_before_any_work() {
    let nodes = Arc::new(all_well());
    let runner = runner(&nodes, Limits { concurrent_runs: 1, ..Limits::standard() });
    let refused = |question: Question| runner.start(question).map(|_| ()).unwrap_err();
    assert_eq!(refused(Question::new(" \n")).code, ErrorCode::InvalidRequest);
    assert_eq!(refused(Question { run_id: "a b".into(), ..question() }).code, ErrorCode::InvalidRequest);
    let unknown = refused(topology("mixtur"));
    assert_eq!(unknown.code, ErrorCode::TopologyNotFound);
    assert!(unknown.message.contains("did you mean \"mixture\"?"), "{unknown}");

    let _running = runner.start(Question { run_id: "mine".into(), ..question() }).unwrap();
    let busy = refused(question());
    assert_eq!((busy.code, busy.retry_after), (ErrorCode::Overloaded, Some(Duration::from_secs(1))));
    assert!(nodes.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_must_write_past_the_end_may_repeat_itself() {
    let looped = "round and round ".repeat(40);
    let nodes =
        || ["a", "b", "c", "s"].iter().fold(FakeNodes::new(), |nodes, model| nodes.node("n1", model, [say(&looped)]));
    let (ended, _) = run(nodes(), question()).await;
    assert!(ended.finished().degraded);
    let (ended, asked) = run(nodes(), Question { ignore_end: true, ..question() }).await;
    assert!(!ended.finished().degraded, "{:?}", ended.finished().warnings);
    assert_eq!(asked.quoted("s").len(), 3);
}

#[tokio::test(start_paused = true)]
async fn runs_are_remembered_up_to_a_limit_and_ids_are_used_once() {
    let nodes = Arc::new(all_well());
    let runner = runner(&nodes, Limits { runs_kept: 2, ..Limits::standard() });
    for id in ["one", "two", "three"] {
        ended(runner.start(Question { run_id: id.into(), ..question() }).unwrap()).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let known: Vec<String> = runner.list(10).into_iter().map(|run| run.run_id).collect();
    assert_eq!(known, ["three", "two"]);
    assert_eq!(runner.get("one").unwrap_err().code, ErrorCode::RunNotFound);
    let again = runner.start(Question { run_id: "two".into(), ..question() }).map(|_| ()).unwrap_err();
    assert_eq!(again.code, ErrorCode::RunExists);
    let record = runner.get("three").unwrap();
    assert!(!record.events.iter().any(|event| matches!(event, Event::MemberDelta { .. } | Event::AnswerDelta { .. })));
    assert_eq!(record.events.iter().filter(|event| matches!(event, Event::MemberFinished(_))).count(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_drain_lets_runs_finish_refuses_new_ones_and_ends_those_that_do_not() {
    let slow = Act::Say(Duration::from_secs(3), "slow".into());
    let nodes = Arc::new(all_well().node("n2", "s", [slow, Act::Hang]));
    let runner = runner(&nodes, Limits::standard());
    let (first, second) = (runner.start(topology("alone")).unwrap(), runner.start(topology("alone")).unwrap());
    let started = Instant::now();
    let ((), first, second) = tokio::join!(runner.drain(Duration::from_secs(10)), ended(first), ended(second));
    assert_eq!(started.elapsed(), Duration::from_secs(10));
    assert_eq!(first.finished().answer, "slow");
    assert_eq!(second.failed().1.code, ErrorCode::Unavailable);
    assert_eq!(runner.start(question()).map(|_| ()).unwrap_err().code, ErrorCode::Unavailable);
}
