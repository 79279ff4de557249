//! A seat that is a topology: a run within the run, whose answer is the seat's draft.

use std::sync::Arc;

use futures::{
    StreamExt,
    future::{BoxFuture, join},
};
use synod_telemetry::{Parent, spans};
use tokio::time::Instant;
use tracing::Instrument;

use super::{
    context::Context,
    events::{At, Event, MemberStarted},
    log::RunLog,
    outbox::{Outbox, Reader},
    question::{AnswerForm, Asked, Question},
    run::{EndsOnce, Run},
    watcher::Watcher,
};
use crate::{
    error::{Error, ErrorCode},
    members::{Answered, Lost, Watch},
    prompts::{Conversation, flat},
    stages::{Prompt, propose::Seat},
    topology::{Sampling, Topology},
};

/// Runs the topology with what the seat is told as its question. A run of its own in the registry, but none that admission
/// counts: the calls of the topologies inside were counted with those of the whole. Boxed, as it contains itself.
pub(super) fn answer<'a>(
    context: &'a Context<'_>,
    topology: &'a Arc<Topology>,
    seat: &'a Seat<'_>,
    prompt: &'a Prompt,
    watcher: &'a Watcher<'_>,
    deadline: Instant,
) -> BoxFuture<'a, Result<Answered, Lost>> {
    Box::pin(run(context, topology, seat, prompt, watcher, deadline))
}

async fn run(
    context: &Context<'_>,
    topology: &Arc<Topology>,
    seat: &Seat<'_>,
    prompt: &Prompt,
    watcher: &Watcher<'_>,
    deadline: Instant,
) -> Result<Answered, Lost> {
    let at = watcher.at;
    let outbox = Outbox::new(context.shared.limits.events_queued);
    let run_id = format!("{}.{}.{}", context.log.run_id(), at.stage, at.seat);
    let recorder = context.shared.recorder.clone();
    let log = RunLog::new(run_id.clone(), topology.name().to_owned(), Arc::clone(&outbox), recorder);
    // Whose the whole is, its parts are.
    let log = Arc::new(log.of(context.log.tenant().to_owned()));
    let registry = &context.shared.registry;
    registry.add(Arc::clone(&log)).map_err(|error| Lost { error, committed: false })?;
    context.log.member_started(MemberStarted {
        at,
        node: String::new(),
        model: topology.name().to_owned(),
        role: seat.member.role.as_ref().map(|role| role.name.clone()).unwrap_or_default(),
        nested_run_id: run_id,
    });
    let _end = EndsOnce {
        log: Arc::clone(&log),
        otherwise: || Error::new(ErrorCode::Cancelled, "the run that it was a part of went on without it"),
    };
    let conversation = conversation(context, seat, prompt);
    let run = Run {
        shared: Arc::clone(context.shared),
        log,
        asked: context.shared.recorder.as_ref().map(|_| Box::new(asked(context, topology, seat, &conversation))),
        topology: Arc::clone(topology),
        conversation,
        overrides: Sampling { seed: None, ..seat.sampling.clone() },
        seed: seat.sampling.seed.unwrap_or_default(),
        seed_is_asked: context.material.seed_is_asked,
        ignore_end: context.ignore_end,
        form: AnswerForm::default(),
        deadline: deadline.min(Instant::now() + topology.deadline()),
    };
    let span = spans::workflow(topology.name(), run.log.run_id(), &Parent::default());
    let ((), outcome) = join(run.run().instrument(span), follow(context, watcher, Reader(outbox))).await;
    registry.trim();
    outcome
}

/// That question, for records.
fn asked(context: &Context<'_>, topology: &Topology, seat: &Seat<'_>, conversation: &Conversation) -> Asked {
    let question = Question {
        messages: conversation.messages(),
        topology: topology.name().to_owned(),
        sampling: seat.sampling.clone(),
        ignore_end: context.ignore_end,
        tenant: context.log.tenant().to_owned(),
        ..Question::default()
    };
    Asked { question, part_of: context.log.run_id().to_owned() }
}

/// What the seat is told, as a question. Drafts in it have lost their chat-control tokens.
fn conversation(context: &Context<'_>, seat: &Seat<'_>, prompt: &Prompt) -> Conversation {
    let asked = context.material.conversation;
    Conversation {
        system: seat.member.system.as_ref().unwrap_or(&asked.system).clone(),
        turns: asked.turns.clone(),
        question: flat(&prompt.parts),
    }
}

/// Takes the inner run's answer for the seat's text while it is written.
async fn follow(context: &Context<'_>, watcher: &Watcher<'_>, mut events: Reader) -> Result<Answered, Lost> {
    let started = Instant::now();
    let (mut first_token, mut mean_logprob) = (None, 0.0);
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::AnswerDelta { text, .. }) => {
                first_token.get_or_insert_with(|| started.elapsed());
                watcher.delta(&text, 0);
            }
            // The last of them wrote the answer, or its stage chose it.
            Ok(Event::MemberFinished(member)) => mean_logprob = member.mean_logprob,
            Ok(Event::RunFinished(finished)) => {
                let At { stage, seat } = watcher.at;
                for warning in finished.warnings {
                    context.log.degrade(format!("within stage {stage} seat {seat}: {warning}"));
                }
                return Ok(Answered {
                    text: finished.answer,
                    finish_reason: finished.finish_reason,
                    usage: finished.usage,
                    mean_logprob,
                    margin: None,
                    first_token: first_token.unwrap_or_default(),
                    total: started.elapsed(),
                    advice: None,
                });
            }
            Ok(Event::RunFailed(failed)) => {
                // The error follows; what it cost is known only here.
                watcher.accepted(failed.usage.prompt_tokens, &[]);
                watcher.delta("", failed.usage.completion_tokens);
            }
            Ok(_) => {}
            Err(error) => return Err(Lost { error, committed: first_token.is_some() }),
        }
    }
    let error = Error::new(ErrorCode::Internal, "the run within ended without an answer");
    Err(Lost { error, committed: first_token.is_some() })
}
