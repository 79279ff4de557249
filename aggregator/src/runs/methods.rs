//! Every built-in topology makes the calls that its paper describes.

use std::sync::Arc;

use futures::StreamExt;

use super::{
    events::{Event, StageFinished},
    fake::{Act, FakeNodes},
    *,
};
use crate::{
    limits::Limits,
    members::{Call, Grammar},
    prompts::{Part, Prompts},
    topology::{Sampling, Topologies},
};

const BIG: &str = "qwen2.5-coder-0.5b-instruct";
const SMALL: &str = "smollm2-135m-instruct";

/// Judges go by the alphabet and never say that drafts are good enough; others write a number of their own.
fn reply(call: &Call) -> String {
    match &call.grammar {
        Some(Grammar::Regex(regex)) if regex.contains("yes") => "no".to_owned(),
        Some(Grammar::Regex(regex)) => {
            let parts = call.parts.so_far();
            let texts: Vec<_> = parts.iter().filter(|part| matches!(part, Part::Quoted { .. })).collect();
            let mut order: Vec<usize> = (0..texts.len()).collect();
            order.sort_by_key(|index| format!("{:?}", texts[*index]));
            let keep = if regex.contains(',') { 2 } else { 1 };
            let numbers: Vec<String> = order.iter().take(keep).map(|index| (index + 1).to_string()).collect();
            numbers.join(", ")
        }
        _ => format!("{} says {}", call.model, call.sampling.seed.unwrap_or_default() % 1000),
    }
}

fn agree(call: &Call) -> String {
    match &call.grammar {
        Some(Grammar::Regex(regex)) if regex.contains("yes") => "yes".to_owned(),
        // Who stands first is best: no judgement at all.
        Some(_) => "1, 2".to_owned(),
        None => format!("{} says 42", call.model),
    }
}

/// What a call was for, and how many drafts it saw: `draft`, `refine 3`, `judge 2`.
fn purpose(call: &Call) -> String {
    let drafts = call.parts.so_far().iter().filter(|part| matches!(part, Part::Quoted { more: false, .. })).count();
    let what = match (&call.grammar, drafts) {
        (Some(_), _) => "judge",
        (None, 0) => return format!("{} draft", short(&call.model)),
        (None, _) => "read",
    };
    format!("{} {what} {drafts}", short(&call.model))
}

fn short(model: &str) -> &'static str {
    if model == BIG { "big" } else { "small" }
}

/// The calls of a run through a built-in topology, equal ones counted, and what its selects and gates decided.
async fn calls(topology: &str, reply: fn(&Call) -> String) -> (Vec<String>, Vec<String>, String) {
    let nodes = Arc::new(FakeNodes::new().node("n", BIG, [Act::Reply(reply)]).node("n", SMALL, [Act::Reply(reply)]));
    let runner = Runner::new(
        Arc::clone(&nodes) as Arc<_>,
        Topologies::builtin(),
        Prompts::builtin().unwrap(),
        Limits::standard(),
    );
    let sampling = Sampling { seed: Some(3), ..Sampling::default() };
    let question = Question { topology: topology.to_owned(), sampling, ..Question::new("Why?") };
    let events: Vec<_> = runner.start(question).unwrap().map(Result::unwrap).collect().await;
    let Some(Event::RunFinished(finished)) = events.last() else { panic!("{topology}: {events:?}") };
    assert!(!finished.degraded, "{topology}: {:?}", finished.warnings);
    let decision = |event: &Event| match event {
        Event::StageFinished(StageFinished { decision, .. }) if !decision.is_empty() => Some(decision.clone()),
        _ => None,
    };
    let decisions = events.iter().filter_map(decision).collect();
    let mut counted: Vec<(usize, String)> = Vec::new();
    for (_, call) in nodes.calls.lock().unwrap().iter() {
        let purpose = purpose(call);
        match counted.iter_mut().find(|(_, known)| *known == purpose) {
            Some((count, _)) => *count += 1,
            None => counted.push((1, purpose)),
        }
    }
    let counted = counted.into_iter().map(|(count, purpose)| format!("{count} {purpose}")).collect();
    (counted, decisions, finished.answer.clone())
}

#[tokio::test(start_paused = true)]
async fn every_builtin_makes_its_papers_calls() {
    let expected: [(&str, &[&str]); 13] = [
        ("single", &["1 big draft"]),
        ("moa", &["2 big draft", "1 small draft", "1 big read 3"]),
        ("moa-3", &["2 big draft", "1 small draft", "3 big read 3", "1 small read 3"]),
        ("self-moa", &["4 big draft", "1 big read 4"]),
        // Windows of three: three drafts, then the last synthesis and two more, then one more.
        ("self-moa-seq", &["6 big draft", "2 big read 3", "1 big read 2"]),
        ("smoa", &["2 big draft", "1 small draft", "2 big judge 3", "1 big judge 2", "3 big read 2"]),
        ("rmoa", &["3 big draft", "1 small draft", "4 big read 3"]),
        // Four drafts are six pairs, each in both orders.
        ("llm-blender", &["3 big draft", "1 small draft", "12 big judge 2", "1 big read 2"]),
        ("best-of-n", &["4 big draft", "2 big judge 4"]),
        ("self-consistency", &["6 big draft"]),
        ("slm-mux", &["3 big draft", "3 small draft"]),
        ("debate", &["3 big draft", "3 big read 3"]),
        ("cascade", &["3 small draft", "2 big draft", "1 big read 2"]),
    ];
    assert_eq!(expected.len(), Topologies::builtin().names().count());
    let mut wrong = Vec::new();
    for (topology, expected) in expected {
        let (calls, ..) = calls(topology, reply).await;
        let made: usize = calls.iter().map(|line| line.split(' ').next().unwrap().parse::<usize>().unwrap()).sum();
        assert_eq!(
            Topologies::builtin().get(topology).unwrap().calls(),
            made,
            "{topology} is admitted as what it makes"
        );
        if calls != expected {
            wrong.push(format!("{topology}: {calls:?} instead of {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn gates_open_where_drafts_agree() {
    let (calls_made, decisions, answer) = calls("cascade", agree).await;
    assert_eq!(calls_made, ["3 small draft"]);
    assert_eq!(answer, format!("{SMALL} says 42"));
    assert!(decisions[0].starts_with("stop with 0.") && decisions[0].ends_with("3 of 3 drafts agree"), "{decisions:?}");
    let (calls_made, decisions, _) = calls("smoa", agree).await;
    // A judge that goes by the order of drafts decides nothing: ties go on.
    assert_eq!(calls_made, ["2 big draft", "1 small draft", "3 big judge 3", "1 big read 3"]);
    assert!(decisions[1].starts_with("skip 1 stages: the judge says"), "{decisions:?}");
}

#[tokio::test(start_paused = true)]
async fn decisions_say_why() {
    let (_, decisions, answer) = calls("best-of-n", reply).await;
    let named: Vec<&str> = decisions[0].split("the judge named ").nth(1).unwrap().split("; in reverse ").collect();
    assert_eq!(named[0], named[1], "{decisions:?}");
    assert!(decisions[0].contains("characters)"), "{decisions:?}");
    assert!(answer.starts_with(BIG));
    let (_, decisions, _) = calls("self-consistency", agree).await;
    assert!(decisions[0].contains("votes of 6: 6 for \"42\""), "{decisions:?}");
    let (_, decisions, answer) = calls("slm-mux", agree).await;
    assert!(decisions[0].contains(&format!("{BIG} 3 of 3, {SMALL} 3 of 3")), "{decisions:?}");
    assert_eq!(answer, format!("{BIG} says 42"));
    let (_, decisions, _) = calls("llm-blender", reply).await;
    assert!(decisions[0].contains("comparisons won: 6 of 6, 4 of 6"), "{decisions:?}");
}
