//! A select stage under way: some of the drafts go on, and the run says why.

use futures::future::join_all;
use tokio::time::Instant;

use super::{
    ballots::ask,
    context::Context,
    events::{At, Event, StageFinished, StageKind},
};
use crate::{
    prompts::Template,
    stages::{
        Candidate,
        answers::{Group, groups, surest},
        diverse::farthest,
        judge::{ballot, ballot_regex, by_points, count, name, with_ties},
        shuffled,
    },
    topology::{Answer, Choice, MAX_RANKED, Measure, Member, Select},
};

/// What was chosen, in the order of choice, and why.
struct Chosen {
    drafts: Vec<Candidate>,
    why: String,
    asked: usize,
    lost: usize,
}

/// The drafts that go on; all of them where nothing could be decided. `last`: exactly one, the answer.
pub(super) async fn run(
    context: &Context<'_>,
    stage: usize,
    select: &Select,
    drafts: Vec<Candidate>,
    last: bool,
) -> Vec<Candidate> {
    let started = Instant::now();
    let mut chosen = choose(context, stage, select, &drafts).await;
    if chosen.drafts.is_empty() {
        if !drafts.is_empty() {
            context.log.degrade(format!("stage {stage} could not choose: all {} drafts go on", drafts.len()));
        }
        chosen.drafts = drafts;
    }
    if last {
        chosen.drafts.truncate(1);
    }
    let names: Vec<String> = chosen.drafts.iter().map(name).collect();
    context.log.event(Event::StageFinished(StageFinished {
        stage,
        kind: StageKind::Select,
        answered: chosen.asked - chosen.lost,
        failed: chosen.lost,
        took: started.elapsed(),
        decision: format!("kept {}: {}", names.join(", "), chosen.why),
    }));
    if !last {
        // The next prompt must not hang on who won by how much.
        chosen.drafts.sort_by_key(|draft| (draft.stage, draft.seat));
    }
    chosen.drafts
}

async fn choose(context: &Context<'_>, stage: usize, select: &Select, drafts: &[Candidate]) -> Chosen {
    let keep = select.keep;
    let plain =
        |drafts: Vec<&Candidate>, why| Chosen { drafts: drafts.into_iter().cloned().collect(), why, asked: 0, lost: 0 };
    match &select.by {
        _ if drafts.len() <= 1 => plain(drafts.iter().collect(), "there was no choice".to_owned()),
        Choice::Judge(member) => judged(context, stage, member, drafts, keep).await,
        Choice::Pairwise(member) => ranked(context, stage, member, drafts, keep).await,
        Choice::Vote(answer) => {
            let groups = groups(drafts, *answer);
            plain(voted(&groups, keep), tally(&groups, drafts.len()))
        }
        Choice::SlmMux(answer) => {
            let (drafts, why) = most_consistent(drafts, *answer);
            plain(drafts, why)
        }
        Choice::Diversity(model) => match embedded(context, model, drafts).await {
            Ok(vectors) => {
                let first = drafts.iter().position(|draft| Some(draft) == surest(drafts.iter())).unwrap_or(0);
                let chosen = farthest(&vectors, first, keep).into_iter().map(|index| &drafts[index]).collect();
                plain(chosen, format!("the surest, then those least like what was chosen, by {model}"))
            }
            Err(why) => {
                context.log.degrade(format!("stage {stage} has no embeddings: {why}"));
                plain(Vec::new(), why)
            }
        },
        Choice::Confidence(measure) => {
            let mut order: Vec<&Candidate> = drafts.iter().collect();
            order.sort_by(|a, b| b.confidence(*measure).total_cmp(&a.confidence(*measure)));
            order.truncate(keep);
            let values: Vec<String> = order.iter().map(|draft| format!("{:.3}", draft.confidence(*measure))).collect();
            plain(order, format!("{} {}", measure_name(*measure), values.join(", ")))
        }
    }
}

pub(super) fn measure_name(measure: Measure) -> &'static str {
    match measure {
        Measure::MeanLogprob => "mean probability",
        Measure::Margin => "margin",
    }
}

/// Asks the judge twice, the second time in reverse.
async fn judged(context: &Context<'_>, stage: usize, member: &Member, drafts: &[Candidate], keep: usize) -> Chosen {
    let order = shuffled(drafts, context.material.seed, stage);
    let reversed: Vec<&Candidate> = order.iter().rev().copied().collect();
    let orders = [order, reversed];
    let regex = ballot_regex(drafts.len(), keep);
    let calls = orders
        .iter()
        .enumerate()
        .map(|(seat, order)| ask(context, At { stage, seat }, member, Template::Judge, order, keep, regex.clone()));
    let said = join_all(calls).await;
    let mut points = vec![0.0; drafts.len()];
    let mut ballots = Vec::new();
    for (order, text) in orders.iter().zip(&said) {
        let Some(text) = text else { continue };
        let places = ballot(text, drafts.len());
        let indices: Vec<usize> =
            order.iter().filter_map(|shown| drafts.iter().position(|draft| std::ptr::eq(draft, *shown))).collect();
        count(&mut points, &indices, &places, keep);
        let named: Vec<String> = places.iter().filter_map(|place| order.get(*place)).map(|draft| name(draft)).collect();
        ballots.push(named.join(", "));
    }
    let lost = said.iter().filter(|text| text.is_none()).count();
    if points.iter().all(|points| *points == 0.0) {
        return Chosen { drafts: Vec::new(), why: "the judge said nothing".to_owned(), asked: 2, lost };
    }
    let by_points = by_points(&points);
    let kept = with_ties(&by_points, &points, keep);
    Chosen {
        drafts: pick(drafts, &kept),
        why: format!("the judge named {}", ballots.join("; in reverse ")),
        asked: 2,
        lost,
    }
}

/// Compares all pairs, each in both orders.
async fn ranked(context: &Context<'_>, stage: usize, member: &Member, drafts: &[Candidate], keep: usize) -> Chosen {
    let many = drafts.len().min(MAX_RANKED);
    if many < drafts.len() {
        context.log.degrade(format!("stage {stage} ranks only the first {many} of {} drafts", drafts.len()));
    }
    let pairs: Vec<(usize, usize)> =
        (0..many).flat_map(|a| (0..many).filter(move |b| *b != a).map(move |b| (a, b))).collect();
    let orders: Vec<[&Candidate; 2]> = pairs.iter().map(|(a, b)| [&drafts[*a], &drafts[*b]]).collect();
    let calls = orders
        .iter()
        .enumerate()
        .map(|(seat, order)| ask(context, At { stage, seat }, member, Template::Judge, order, 1, ballot_regex(2, 1)));
    let said = join_all(calls).await;
    let mut wins = vec![0.0; many];
    for ((a, b), text) in pairs.iter().zip(&said) {
        match text.as_ref().and_then(|text| ballot(text, 2).first().copied()) {
            Some(0) => wins[*a] += 1.0,
            Some(_) => wins[*b] += 1.0,
            // A comparison that was lost is one that both won.
            None => {
                wins[*a] += 0.5;
                wins[*b] += 0.5;
            }
        }
    }
    let lost = said.iter().filter(|text| text.is_none()).count();
    if lost == said.len() {
        return Chosen { drafts: Vec::new(), why: "no comparison came back".to_owned(), asked: lost, lost };
    }
    let kept = with_ties(&by_points(&wins), &wins, keep);
    let told: Vec<String> = kept.iter().map(|index| format!("{} of {}", wins[*index], 2 * (many - 1))).collect();
    Chosen {
        drafts: pick(drafts, &kept),
        why: format!("comparisons won: {}", told.join(", ")),
        asked: said.len(),
        lost,
    }
}

fn pick(drafts: &[Candidate], indices: &[usize]) -> Vec<Candidate> {
    indices.iter().filter_map(|index| drafts.get(*index)).cloned().collect()
}

/// The surest drafts of the groups, the largest group first.
fn voted<'d>(groups: &[Group<'d>], keep: usize) -> Vec<&'d Candidate> {
    groups.iter().filter_map(Group::surest).take(keep).collect()
}

fn tally(groups: &[Group<'_>], of: usize) -> String {
    let votes: Vec<String> =
        groups.iter().take(4).map(|group| format!("{} for {:?}", group.drafts.len(), short(&group.answer))).collect();
    format!("votes of {of}: {}", votes.join(", "))
}

/// The answer of the model that agrees with itself most; of two such, that of the surer one.
fn most_consistent(drafts: &[Candidate], answer: Answer) -> (Vec<&Candidate>, String) {
    let mut models: Vec<&str> = Vec::new();
    for draft in drafts {
        if !models.contains(&draft.model.as_str()) {
            models.push(&draft.model);
        }
    }
    let mut best: Option<(f64, &Candidate)> = None;
    let mut told = Vec::new();
    for model in models {
        let own: Vec<&Candidate> = drafts.iter().filter(|draft| draft.model == model).collect();
        let groups = groups(own.iter().copied(), answer);
        let Some((group, surest)) = groups.first().and_then(|group| Some((group, group.surest()?))) else { continue };
        let share = group.drafts.len() as f64 / own.len() as f64;
        told.push(format!("{model} {} of {}", group.drafts.len(), own.len()));
        if best.is_none_or(|(most, of)| (share, surest.mean_logprob) > (most, of.mean_logprob)) {
            best = Some((share, surest));
        }
    }
    (best.into_iter().map(|(_, draft)| draft).collect(), format!("agreement with itself: {}", told.join(", ")))
}

async fn embedded(context: &Context<'_>, model: &str, drafts: &[Candidate]) -> Result<Vec<Vec<f32>>, String> {
    let texts: Vec<String> = drafts.iter().map(|draft| draft.text.clone()).collect();
    context
        .nodes
        .embed(model, &texts, context.deadline)
        .await
        .map(|embedded| embedded.vectors)
        .map_err(|error| error.message)
}

/// The beginning of an answer, for a line of a record.
fn short(answer: &str) -> &str {
    let end = answer.char_indices().nth(40).map_or(answer.len(), |(at, _)| at);
    &answer[..end]
}
