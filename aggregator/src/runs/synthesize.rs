//! A synthesize stage under way: one member writes the answer, and a draft stands in where none can.

use tokio::time::Instant;

use super::{
    context::{Context, Failed},
    events::{At, Draft, Event, StageFinished, StageKind},
    propose::finished,
    watcher::Watcher,
};
use crate::{
    error::{Error, ErrorCode},
    members::{Answered, Call, Lost, answer},
    stages::{
        Candidate, FinishReason, Prompt,
        synthesize::{best, prompt, sampling},
        usable::is_loop,
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
    let started = Instant::now();
    let member = &synthesize.member;
    let prompt = prompt(stage, synthesize, drafts, context.material).map_err(|error| {
        Failed::without_draft(Error::new(ErrorCode::Internal, format!("writing the synthesis prompt: {error}")))
    })?;
    let at = At { stage, seat: 0 };
    let call = Call {
        model: member.model.clone(),
        messages: prompt.messages.clone(),
        parts: prompt.parts.clone(),
        sampling: sampling(stage, synthesize, context.material),
        run_id: context.log.run_id().to_owned(),
        deadline: context.deadline,
    };
    let watcher = Watcher { log: context.log, at, member, is_answer: true };
    let outcome = match answer(context.nodes, &call, &context.policy, &watcher).await {
        Ok(answered) if answered.text.trim().is_empty() => {
            let error = Error::new(ErrorCode::MemberFailed, "it wrote nothing");
            Err(Lost { error, committed: false })
        }
        outcome => outcome,
    };
    let answered = outcome.is_ok();
    let result = match outcome {
        Ok(answered) => Ok(accept(context, at, &member.model, &prompt, answered)),
        Err(lost) => {
            context.log.member_failed(at, lost.error.message.clone());
            stand_in(context, &member.model, lost, best(drafts, &member.model))
        }
    };
    context.log.event(Event::StageFinished(StageFinished {
        stage,
        kind: StageKind::Synthesize,
        answered: usize::from(answered),
        failed: usize::from(!answered),
        took: started.elapsed(),
    }));
    result
}

fn accept(context: &Context<'_>, at: At, model: &str, prompt: &Prompt, answered: Answered) -> FinishReason {
    context.tell_cuts(at, model, &prompt.quoted);
    if is_loop(&answered.text) {
        context.log.degrade(format!("the answer of {model} repeats itself"));
    }
    let finish_reason = answered.finish_reason;
    context.log.member_finished(finished(at, answered));
    finish_reason
}

/// Before its first token a lost synthesiser costs only the synthesis: the best draft is the answer. After it, the
/// client has text that no draft continues.
fn stand_in(context: &Context<'_>, model: &str, lost: Lost, draft: Option<&Candidate>) -> Result<FinishReason, Failed> {
    let Lost { error, committed } = lost;
    match draft {
        Some(draft) if !committed => {
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
