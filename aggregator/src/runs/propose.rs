//! A propose stage under way: all seats write side by side until enough have answered.

use futures::{StreamExt, stream::FuturesUnordered};
use tokio::time::{Instant, timeout_at};

use super::{
    calls::{self, Found},
    context::Context,
    events::{At, Event, StageFinished, StageKind},
    nested,
    overlap::Feed,
    watcher::Watcher,
};
use crate::{
    error::{Error, ErrorCode},
    members::{Advised, Answered, Call, Lost, Parts, Usage, answer},
    metrics::Loss,
    stages::{
        Candidate, Prompt, budget,
        propose::{Seat, Tally, Verdict, prompt, seats},
    },
    topology::{Author, Propose},
};

/// Where the stage stands in its topology.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) stage: usize,
    /// With this one.
    pub(super) stages_left: usize,
}

/// Takes the drafts of the layer before to those of this one; never to fewer than there were for want of an answer. `feed`
/// reads the drafts of this one while they are written.
pub(super) async fn run(
    context: &Context<'_>,
    place: Place,
    propose: &Propose,
    mut drafts: Vec<Candidate>,
    feed: Option<&Feed>,
) -> Result<Vec<Candidate>, Error> {
    let started = Instant::now();
    let (stage, rounds) = (place.stage, propose.rounds.get());
    let stage_deadline = started + budget::share(context.remaining(), place.stages_left, propose.deadline);
    let (mut answered, mut failed) = (0, 0);
    for round in 0..rounds {
        let now = Instant::now();
        let deadline = now + budget::share(stage_deadline.saturating_duration_since(now), rounds - round, None);
        let (usable, seats);
        (drafts, usable, seats) = self::round(context, stage, round, propose, drafts, feed, deadline).await?;
        (answered, failed) = (answered + usable, failed + seats - usable);
    }
    context.log.event(Event::StageFinished(StageFinished {
        stage,
        kind: StageKind::Propose,
        answered,
        failed,
        took: started.elapsed(),
        decision: String::new(),
    }));
    Ok(drafts)
}

/// Everyone writes once. Returns the drafts, how many seats answered usably, and how many there were.
async fn round(
    context: &Context<'_>,
    stage: usize,
    round: usize,
    propose: &Propose,
    before: Vec<Candidate>,
    feed: Option<&Feed>,
    deadline: Instant,
) -> Result<(Vec<Candidate>, usize, usize), Error> {
    let seats = seats(stage, round, propose, context.material);
    let prompts: Vec<Prompt> = seats
        .iter()
        .map(|seat| prompt(stage, seat.member, &before, propose.sees, context.material))
        .collect::<Result<_, _>>()
        .map_err(|error| Error::new(ErrorCode::Internal, format!("writing the prompts of stage {stage}: {error}")))?;
    let mut progress = Progress { context, stage, seats: &seats, prompts: &prompts, feed, drafts: Vec::new() };
    let usable = progress.collect(propose, deadline).await;
    let drafts = progress.drafts;
    Ok((or_those_before(context, stage, drafts, before), usable, seats.len()))
}

/// A layer without a usable draft leaves those that there were.
fn or_those_before(
    context: &Context<'_>,
    stage: usize,
    mut drafts: Vec<Candidate>,
    before: Vec<Candidate>,
) -> Vec<Candidate> {
    // In order of seats, whatever the order of arrival: the same seed must give the same prompt.
    drafts.sort_by_key(|draft| draft.seat);
    if !drafts.is_empty() {
        return drafts;
    }
    let instead = if before.is_empty() { "the question goes on alone" } else { "going on with the drafts before it" };
    context.log.degrade(format!("stage {stage} has no usable draft: {instead}"));
    before
}

struct Progress<'p, 'r> {
    context: &'p Context<'r>,
    stage: usize,
    seats: &'p [Seat<'p>],
    prompts: &'p [Prompt],
    feed: Option<&'p Feed>,
    drafts: Vec<Candidate>,
}

impl Progress<'_, '_> {
    /// Waits for seats until all are done, the grace after the quorum is over, or the stage's time is. Returns how many
    /// answered usably; dropping the calls that are left frees their sequences.
    async fn collect(&mut self, propose: &Propose, deadline: Instant) -> usize {
        let mut tally = Tally::new(propose.quorum, self.seats.len());
        let mut outstanding: Vec<usize> = (0..self.seats.len()).collect();
        let (context, stage, seats, prompts, feed) = (self.context, self.stage, self.seats, self.prompts, self.feed);
        let mut calls: FuturesUnordered<_> =
            seats
                .iter()
                .zip(prompts)
                .enumerate()
                .map(|(place, (seat, prompt))| async move {
                    (place, ask(context, stage, seat, prompt, feed, deadline).await)
                })
                .collect();
        let mut grace: Option<Instant> = None;
        while let Ok(Some((seat, outcome))) = timeout_at(grace.unwrap_or(deadline), calls.next()).await {
            outstanding.retain(|one| *one != seat);
            let is_usable = self.settle(seat, outcome);
            match tally.count(is_usable) {
                Verdict::Wait => {}
                Verdict::Grace => {
                    grace.get_or_insert_with(|| deadline.min(Instant::now() + propose.grace));
                }
                Verdict::Done => break,
            }
        }
        drop(calls);
        for seat in outstanding {
            let why = match grace {
                Some(_) => {
                    format!("cut off: quorum of {} answered and {:?} grace passed", propose.quorum.get(), propose.grace)
                }
                None => "cut off: the stage's share of the deadline is over".to_owned(),
            };
            self.lose(seat, Loss::CutOff, why);
        }
        tally.usable()
    }

    /// Takes one seat's end into account; whether it gave a usable draft.
    fn settle(&mut self, seat: usize, outcome: Result<Answered, Lost>) -> bool {
        let answered = match outcome {
            Ok(answered) => answered,
            Err(lost) => {
                self.lose(seat, Loss::Failed(lost.error.code), lost.error.message);
                return false;
            }
        };
        let text = match self.context.usable(&answered.text) {
            Ok(text) => text,
            Err(why) => {
                self.lose(seat, Loss::Unusable, format!("its draft is not usable: {why}"));
                return false;
            }
        };
        let at = At { stage: self.stage, seat: self.seats[seat].index };
        let model = self.seats[seat].member.author.name();
        self.context.tell_cuts(at, model, &self.prompts[seat].quoted);
        if let Some(feed) = self.feed {
            feed.ended(seat, Some(&text));
        }
        self.drafts.push(Candidate::of(at.stage, at.seat, model, text, &answered));
        self.context.finish(at, model, answered);
        true
    }

    fn lose(&self, seat: usize, loss: Loss, why: String) {
        if let Some(feed) = self.feed {
            feed.ended(seat, None);
        }
        let Seat { index, member, .. } = &self.seats[seat];
        self.context.lose(At { stage: self.stage, seat: *index }, member.author.name(), loss, why);
    }
}

async fn ask(
    context: &Context<'_>,
    stage: usize,
    seat: &Seat<'_>,
    prompt: &Prompt,
    feed: Option<&Feed>,
    deadline: Instant,
) -> Result<Answered, Lost> {
    let at = At { stage, seat: seat.index };
    let metrics = &context.shared.metrics;
    let watcher = Watcher { log: context.log, metrics, at, member: seat.member, is_answer: false, feed };
    if let Author::Topology(topology) = &seat.member.author {
        return nested::answer(context, topology, seat, prompt, &watcher, deadline).await;
    }
    let (mut spent, mut advice) = (Usage::default(), None);
    if !seat.member.apis.is_empty() {
        match calls::find(context, seat.member, &watcher, deadline).await? {
            Found::Api(answered) => return Ok(answered),
            Found::Nothing(usage) => (spent, advice) = (usage, Some(Advised::default())),
        }
    }
    let parts = Parts::whole(prompt.parts.clone());
    let call = context.call(at, seat.member, prompt.messages.clone(), parts, seat.sampling.clone());
    let call = Call { deadline, top_logprobs: context.top_logprobs, ..call };
    let mut answered = answer(context.nodes, &call, &context.policy, &watcher).await?;
    answered.usage += spent;
    Ok(Answered { advice, ..answered })
}
