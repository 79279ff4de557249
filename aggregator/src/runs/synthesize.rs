//! A synthesize stage under way: one member writes the answer, and a draft stands in where none can.

use tokio::time::Instant;

use super::{
    context::{Context, Failed},
    events::{At, Draft, Event, StageFinished, StageKind},
    overlap::Feed,
    question::AnswerForm,
    watcher::Watcher,
};
use crate::{
    error::{Error, ErrorCode},
    members::{Answered, Call, Lost, Parts, answer},
    metrics::Loss,
    prompts::PromptError,
    stages::{
        Candidate, FinishReason, Prompt, budget, shuffled,
        synthesize::{best, prompt, sampling},
    },
    topology::Synthesize,
};

/// Writes the answer into the log; returns why it ended.
pub(super) async fn run(
    context: &Context<'_>,
    stage: usize,
    synthesize: &Synthesize,
    drafts: &[Candidate],
) -> Result<FinishReason, Failed> {
    let order = shuffled(drafts, context.material.seed, stage);
    let started = Instant::now();
    match synthesize.window.filter(|window| order.len() > *window) {
        Some(window) => in_windows(context, stage, synthesize, drafts, &order, window).await,
        None => in_order(context, stage, synthesize, drafts, &order, 0, started).await,
    }
}

/// Reads a window of drafts at a time, the last synthesis in the place of the first (Self-MoA-Seq, arXiv 2502.00674). Only
/// the last window's synthesis is the answer; one that is lost leaves the one before.
async fn in_windows(
    context: &Context<'_>,
    stage: usize,
    synthesize: &Synthesize,
    drafts: &[Candidate],
    order: &[&Candidate],
    window: usize,
) -> Result<FinishReason, Failed> {
    let started = Instant::now();
    let mut carried: Option<Candidate> = None;
    let mut left = order;
    let mut seat = 0;
    loop {
        let (now, later) = left.split_at((window - usize::from(carried.is_some())).min(left.len()));
        let shown: Vec<&Candidate> = carried.iter().chain(now.iter().copied()).collect();
        if later.is_empty() {
            let all: Vec<Candidate> = carried.iter().chain(drafts).cloned().collect();
            return in_order(context, stage, synthesize, &all, &shown, seat, started).await;
        }
        // A window holds one draft less once a synthesis is carried on.
        let windows_left = 1 + later.len().div_ceil(window.saturating_sub(1).max(1));
        let share = context.within(budget::share(context.remaining(), windows_left, None));
        if let Some(synthesis) = between(&share, stage, synthesize, &shown, seat).await {
            carried = Some(synthesis);
        }
        (left, seat) = (later, seat + 1);
    }
}

/// A synthesis that the next window carries on.
async fn between(
    context: &Context<'_>,
    stage: usize,
    synthesize: &Synthesize,
    shown: &[&Candidate],
    seat: usize,
) -> Option<Candidate> {
    let (at, member) = (At { stage, seat }, &synthesize.member);
    let watcher = Watcher { is_answer: false, ..watcher(context, at, synthesize) };
    let model = member.author.name();
    let lose = |loss: Loss, why: String| context.lose(at, model, loss, why);
    let unwritten = |error: PromptError| lose(Loss::Failed(ErrorCode::Internal), error.to_string());
    let prompt = prompt(synthesize, shown, context.material).map_err(unwritten).ok()?;
    let sampling = sampling(stage, seat, synthesize, context.material);
    let call = context.call(at, member, prompt.messages, Parts::whole(prompt.parts), sampling);
    let answered = answer(context.nodes, &call, &context.policy, &watcher).await;
    let answered = answered.map_err(|lost| context.lose_failed(at, model, lost)).ok()?;
    let unusable = |why| lose(Loss::Unusable, format!("its synthesis is not usable: {why}"));
    let text = context.usable(&answered.text).map_err(unusable).ok()?;
    context.tell_cuts(at, model, &prompt.quoted);
    let synthesis = Candidate::of(stage, seat, model, text, &answered);
    context.finish(at, model, answered);
    Some(synthesis)
}

/// As [`run`], with the drafts of the stage before in the making: the answer's prompt is read while they are written.
/// `propose` makes them, and tells `feed` of them; `order` of them is then that of the seats that the feed has shown.
pub(super) async fn run_ahead(
    context: &Context<'_>,
    stage: usize,
    synthesize: &Synthesize,
    feed: &Feed,
    propose: impl Future<Output = Result<Vec<Candidate>, Error>>,
) -> Result<FinishReason, Failed> {
    let parts = feed.parts().clone();
    let at = At { stage, seat: 0 };
    let sampling = sampling(stage, 0, synthesize, context.material);
    let call = context.call(at, &synthesize.member, feed.messages(), parts, sampling);
    let call = in_form(context, Call { quoted_parts: feed.seats(), ..call });
    let watcher = watcher(context, at, synthesize);
    let ahead = async {
        tokio::select! {
            biased;
            () = feed.gave_up() => None,
            outcome = answer(context.nodes, &call, &context.policy, &watcher) => Some(outcome),
        }
    };
    let drafting = async {
        let drafts = propose.await;
        (drafts, feed.complete(), Instant::now())
    };
    let ((drafts, shown, started), outcome) = tokio::join!(drafting, ahead);
    let drafts = drafts.map_err(Failed::without_draft)?;
    let order: Vec<&Candidate> = match &shown {
        Some(seats) => seats.iter().filter_map(|seat| drafts.iter().find(|draft| draft.seat == *seat)).collect(),
        None => shuffled(&drafts, context.material.seed, stage),
    };
    match outcome {
        Some(outcome) if outcome.as_ref().map_or_else(|lost| lost.committed, |_| true) => {
            let quoted: Vec<_> = order.iter().map(|draft| (draft.stage, draft.seat)).collect();
            conclude(context, at, synthesize, &drafts, &quoted, outcome, started)
        }
        // Nothing was written: what went wrong may have to do with reading ahead.
        _ => in_order(context, stage, synthesize, &drafts, &order, 0, started).await,
    }
}

async fn in_order(
    context: &Context<'_>,
    stage: usize,
    synthesize: &Synthesize,
    drafts: &[Candidate],
    order: &[&Candidate],
    seat: usize,
    started: Instant,
) -> Result<FinishReason, Failed> {
    let at = At { stage, seat };
    let prompt = prompt(synthesize, order, context.material).map_err(|error| {
        Failed::without_draft(Error::new(ErrorCode::Internal, format!("writing the synthesis prompt: {error}")))
    })?;
    let Prompt { messages, parts, quoted } = prompt;
    let sampling = sampling(stage, seat, synthesize, context.material);
    let call = context.call(at, &synthesize.member, messages, Parts::whole(parts), sampling);
    let call = in_form(context, call);
    let outcome = answer(context.nodes, &call, &context.policy, &watcher(context, at, synthesize)).await;
    conclude(context, at, synthesize, drafts, &quoted, outcome, started)
}

/// The call that writes the answer, in the form that was asked for.
fn in_form(context: &Context<'_>, call: Call) -> Call {
    let AnswerForm { grammar, top_logprobs } = context.form;
    // The bytes of tokens come with their alternatives only.
    Call { grammar: grammar.clone(), top_logprobs: top_logprobs.map_or(0, |top| top.max(1)), ..call }
}

fn watcher<'r>(context: &Context<'r>, at: At, synthesize: &'r Synthesize) -> Watcher<'r> {
    let (metrics, member) = (&context.shared.metrics, &synthesize.member);
    Watcher { log: context.log, metrics, at, member, is_answer: true, feed: None }
}

/// Accepts the answer, or puts a draft in its place.
fn conclude(
    context: &Context<'_>,
    at: At,
    synthesize: &Synthesize,
    drafts: &[Candidate],
    quoted: &[(usize, usize)],
    outcome: Result<Answered, Lost>,
    started: Instant,
) -> Result<FinishReason, Failed> {
    let model = synthesize.member.author.name();
    let outcome = match outcome {
        Ok(answered) if answered.text.trim().is_empty() => {
            let error = Error::new(ErrorCode::MemberFailed, "it wrote nothing");
            Err(Lost { error, committed: false })
        }
        outcome => outcome,
    };
    let answered = outcome.is_ok();
    let result = match outcome {
        Ok(answered) => Ok(accept(context, at, model, quoted, answered)),
        Err(lost) => {
            context.shared.metrics.lost(Loss::Failed(lost.error.code));
            context.log.member_failed(at, lost.error.message.clone());
            stand_in(context, model, lost, best(drafts, model))
        }
    };
    context.log.event(Event::StageFinished(StageFinished {
        stage: at.stage,
        kind: StageKind::Synthesize,
        answered: usize::from(answered),
        failed: usize::from(!answered),
        took: started.elapsed(),
        decision: String::new(),
    }));
    result
}

fn accept(context: &Context<'_>, at: At, model: &str, quoted: &[(usize, usize)], answered: Answered) -> FinishReason {
    context.tell_cuts(at, model, quoted);
    // It has been read by now: all that is left is to say so.
    if let Err(why) = context.usable(&answered.text) {
        context.log.degrade(format!("the answer of {model} is not usable: {why}"));
    }
    let finish_reason = answered.finish_reason;
    context.finish(at, model, answered);
    finish_reason
}

/// Before its first token a lost synthesiser costs only the synthesis: the best draft is the answer. After it, the
/// client has text that no draft continues.
fn stand_in(context: &Context<'_>, model: &str, lost: Lost, draft: Option<&Candidate>) -> Result<FinishReason, Failed> {
    let Lost { error, committed } = lost;
    match draft {
        Some(draft) if !committed && context.form.is_free() => {
            let (stage, seat, author) = (draft.stage, draft.seat, &draft.model);
            let why = &error.message;
            context.log.degrade(format!(
                "the synthesiser {model} could not answer ({why}): this is the draft of stage {stage} seat {seat}, {author}"
            ));
            context.log.whole_answer(&draft.text);
            Ok(draft.finish_reason)
        }
        draft => {
            let code = match error.code {
                ErrorCode::DeadlineExceeded => ErrorCode::DeadlineExceeded,
                _ if committed => ErrorCode::SynthesisLost,
                other => other,
            };
            let message = match (committed, draft.is_some()) {
                (true, true) => format!(
                    "the synthesiser {model} broke off in the middle of its answer: {error}; the best draft comes with this"
                ),
                (true, false) => format!("the synthesiser {model} broke off in the middle of its answer: {error}"),
                (false, _) => format!("the synthesiser {model} could not answer, and there is no draft: {error}"),
            };
            let as_draft = |draft: &Candidate| Draft {
                at: At { stage: draft.stage, seat: draft.seat },
                model: draft.model.clone(),
                text: draft.text.clone(),
            };
            let error = Error { code, message, retry_after: error.retry_after };
            Err(Failed { error, best_draft: draft.map(as_draft) })
        }
    }
}
