use super::{
    propose::{Tally, Verdict, seats},
    *,
};
use crate::{
    limits::Limits,
    topology::{Known, MaxTokens, Quorum, Stage, Topologies, from_toml},
};

fn draft(seat: usize, text: &str) -> Candidate {
    Candidate {
        stage: 0,
        seat,
        model: format!("model-{seat}"),
        text: text.to_owned(),
        finish_reason: FinishReason::Stop,
        mean_logprob: -1.0,
        margin: None,
        usage: Usage::default(),
        advice: None,
    }
}

/// Runs a check with the material of a plain question.
fn with_material(seed: u64, overrides: Sampling, check: impl FnOnce(Material<'_>)) {
    let messages = vec![("system".to_owned(), "Be kind.".to_owned()), ("user".to_owned(), "Why?".to_owned())];
    let conversation = Conversation::try_new(messages, &Limits::standard()).unwrap();
    let prompts = Prompts::builtin().unwrap();
    check(Material {
        prompts: &prompts,
        conversation: &conversation,
        overrides: &overrides,
        seed,
        seed_is_asked: false,
    });
}

#[test]
fn a_tally_waits_for_its_quorum_then_for_the_grace_and_is_done_with_the_last() {
    let mut tally = Tally::new(Quorum::try_new(2, 4).unwrap(), 4);
    assert_eq!(tally.count(true), Verdict::Wait);
    assert_eq!(tally.count(false), Verdict::Wait);
    assert_eq!(tally.count(true), Verdict::Grace);
    assert_eq!(tally.count(true), Verdict::Done);
    assert_eq!(tally.usable(), 3);

    let mut hopeless = Tally::new(Quorum::try_new(2, 2).unwrap(), 2);
    assert_eq!(hopeless.count(false), Verdict::Wait);
    assert_eq!(hopeless.count(true), Verdict::Done);
}

#[test]
fn the_same_seed_gives_the_same_order_and_another_seed_another() {
    let drafts: Vec<_> = (0..6).map(|seat| draft(seat, "x")).collect();
    let order = |seed| shuffled(&drafts, seed, 1).iter().map(|draft| draft.seat).collect::<Vec<_>>();
    assert_eq!(order(1), order(1));
    assert!((2..12).any(|seed| order(seed) != order(1)));
    assert!((1..12).any(|seed| order(seed) != [0, 1, 2, 3, 4, 5]));
}

#[test]
fn the_loss_of_a_draft_leaves_the_order_of_the_others() {
    let drafts: Vec<_> = (0..6).map(|seat| draft(seat, "x")).collect();
    let all: Vec<usize> = shuffled(&drafts, 9, 1).iter().map(|draft| draft.seat).filter(|seat| *seat != 3).collect();
    let fewer: Vec<_> = drafts.iter().filter(|draft| draft.seat != 3).cloned().collect();
    assert_eq!(shuffled(&fewer, 9, 1).iter().map(|draft| draft.seat).collect::<Vec<_>>(), all);
}

#[test]
fn every_seat_has_a_seed_of_its_own_that_the_run_seed_repeats() {
    let topologies = Topologies::builtin();
    let Stage::Propose(stage) = &topologies.get("self-moa").unwrap().stages()[0] else { panic!("no propose stage") };
    let seeds = |seed| {
        let mut found = Vec::new();
        let overrides = Sampling { max_tokens: MaxTokens::try_new(9).ok(), ..Sampling::default() };
        with_material(seed, overrides, |material| {
            let seats = seats(0, 0, stage, material);
            assert!(
                seats.iter().all(|seat| seat.sampling.max_tokens.unwrap().get() == 9),
                "max_tokens hold for the run"
            );
            found = seats.iter().map(|seat| seat.sampling.seed.unwrap()).collect();
        });
        found
    };
    assert_eq!(seeds(5), seeds(5));
    assert_ne!(seeds(5), seeds(6));
    let distinct: std::collections::BTreeSet<u64> = seeds(5).into_iter().collect();
    assert_eq!(distinct.len(), 4);
}

#[test]
fn proposer_and_synthesiser_share_all_but_the_end_of_their_prompts() {
    let topologies = Topologies::builtin();
    let stages = topologies.get("moa").unwrap().stages();
    let (Stage::Propose(first), Stage::Synthesize(last)) = (&stages[0], &stages[1]) else { panic!("not moa") };
    with_material(1, Sampling::default(), |material| {
        let proposal = propose::prompt(0, &first.members[0], &[], Sees::Drafts, material).unwrap();
        let refinement = propose::prompt(1, &first.members[0], &[draft(0, "a")], Sees::Drafts, material).unwrap();
        let synthesis = synthesize::prompt(last, &[&draft(0, "a"), &draft(1, "b")], material).unwrap();
        assert_eq!(proposal.messages, synthesis.messages);
        assert_eq!(proposal.messages, refinement.messages);
        assert_eq!(proposal.messages.last().unwrap().content, "");
        assert_eq!((&proposal.parts[0], &refinement.parts[0]), (&synthesis.parts[0], &synthesis.parts[0]));
        assert_eq!(synthesis.quoted.len(), 2);
    });
}

#[test]
fn placement_in_the_system_message_leaves_the_question_alone() {
    let text = "[[topologies.t.stages]]\nkind = 'synthesize'\nplacement = 'system'\nmember = { model = 'm' }";
    let all = from_toml(text, &Known::default()).unwrap();
    let Stage::Synthesize(stage) = &all.get("t").unwrap().stages()[0] else { panic!("no synthesize stage") };
    with_material(1, Sampling::default(), |material| {
        let prompt = synthesize::prompt(stage, &[&draft(0, "a draft")], material).unwrap();
        assert_eq!(prompt.parts, [Part::Text("Why?".into())]);
        assert!(prompt.messages[0].content.starts_with("Be kind.") && prompt.messages[0].content.contains("a draft"));
    });
}

#[test]
fn the_best_draft_is_complete_of_the_synthesisers_model_and_sure() {
    let candidate = |seat, model: &str, finish_reason, mean_logprob| Candidate {
        model: model.to_owned(),
        finish_reason,
        mean_logprob,
        ..draft(seat, "x")
    };
    let mut drafts =
        vec![candidate(0, "big", FinishReason::Length, -0.1), candidate(1, "small", FinishReason::Stop, -0.2)];
    assert_eq!(synthesize::best(&drafts, "big").unwrap().seat, 1);
    drafts.push(candidate(2, "big", FinishReason::Stop, -0.9));
    assert_eq!(synthesize::best(&drafts, "big").unwrap().seat, 2);
    drafts.push(candidate(3, "big", FinishReason::Stop, -0.4));
    drafts.push(candidate(4, "big", FinishReason::Stop, -0.4));
    assert_eq!(synthesize::best(&drafts, "big").unwrap().seat, 3);
    assert_eq!(synthesize::best(&[], "big"), None);
}

#[test]
fn stages_share_what_is_left_and_an_own_deadline_is_kept() {
    use std::time::Duration;
    let seconds = Duration::from_secs;
    assert_eq!(budget::share(seconds(120), 3, None), seconds(40));
    assert_eq!(budget::share(seconds(120), 3, Some(seconds(100))), seconds(100));
    assert_eq!(budget::share(seconds(10), 1, Some(seconds(100))), seconds(10));
}
