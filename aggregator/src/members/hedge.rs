//! One attempt of a seat: a call, and a second one to another node where the first is late. Who writes first is the one.

use std::{pin::pin, sync::Arc};

use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use synod_telemetry::{names::attribute, spans};
use tokio::time::{Instant, sleep};
use tracing::{Instrument, Span};

use super::{
    Picked,
    attempt::{Opened, open, write},
    attempts::{Answered, Lost, Seat, Trouble, Watch},
};
use crate::error::{Error, ErrorCode, Retry};

/// How the opening of a call went, and where.
type Opening = (Arc<Picked>, Result<Opened, Lost>);

/// Calls that may all be the one.
struct Race<'c> {
    seat: &'c Seat<'c>,
    openings: FuturesUnordered<BoxFuture<'c, Opening>>,
    runners: Vec<Arc<Picked>>,
}

/// Asks the node picked, and perhaps one more. Those asked are tried ones afterwards.
pub(super) async fn attempt(seat: &Seat<'_>, picked: Picked, tried: &mut Vec<Arc<str>>) -> Result<Answered, Lost> {
    tried.push(Arc::clone(&picked.node));
    seat.watch.started(&picked.node);
    let mut race = Race { seat, openings: FuturesUnordered::new(), runners: Vec::new() };
    race.enter(picked);
    let mut first = race.first(true).await;
    if first.is_none() {
        if let Some(second) = second(seat, tried) {
            tracing::debug!(run_id = seat.call.run_id, node = %second.node, model = seat.call.model, "asking a second node: the first is late");
            seat.watch.met(Trouble::Hedged);
            tried.push(Arc::clone(&second.node));
            race.enter(second);
        }
        first = race.first(false).await;
    }
    let nobody_ran = || Lost { error: Error::new(ErrorCode::Internal, "no call was made"), committed: false };
    let (picked, opened) = first.ok_or_else(nobody_ran)??;
    if race.runners.first().is_some_and(|first| first.node != picked.node) {
        seat.watch.started(&picked.node);
    }
    race.lost_by_all_but(&picked);
    let span = opened.span.clone();
    let answered = write(seat, opened, &picked.node).instrument(span.clone()).await;
    match &answered {
        // Else the node that says nothing would be the fastest of all.
        Ok((answered, _)) if answered.text.trim().is_empty() => fail(&picked, seat.watch),
        Ok((answered, first_text)) => {
            spans::finished(&span, answered.finish_reason.name(), answered.usage.into());
            spans::set(&span, attribute::FIRST_CHUNK, answered.first_token.as_secs_f64());
            let complete = seat.call.parts.completed_at();
            picked.lease.answered(complete, *first_text, answered.usage);
        }
        Err(failed) => note(&picked, failed, seat, &span),
    }
    answered.map(|(answered, _)| answered)
}

/// Another node, if there is one and asking it is within the budget.
fn second(seat: &Seat<'_>, tried: &[Arc<str>]) -> Option<Picked> {
    let another = seat.nodes.pick(&seat.wanted, tried).ok();
    another.filter(|picked| !tried.contains(&picked.node) && seat.nodes.may_retry())
}

impl<'c> Race<'c> {
    fn enter(&mut self, picked: Picked) {
        let picked = Arc::new(picked);
        self.runners.push(Arc::clone(&picked));
        let seat = self.seat;
        let span = spans::call(&seat.call.model, &picked.node);
        let opening = async move {
            let opened = open(seat, &picked).await;
            if let Err(failed) = &opened {
                note(&picked, failed, seat, &Span::current());
            }
            (picked, opened)
        };
        self.openings.push(Box::pin(opening.instrument(span)));
    }

    /// Who begins to write first, or the failure of the last; none where all are late before that, if that is of interest.
    async fn first(&mut self, or_late: bool) -> Option<Result<(Arc<Picked>, Opened), Lost>> {
        let mut late = pin!(late(self.seat));
        loop {
            let (picked, opened) = tokio::select! {
                biased;
                opening = self.openings.next() => opening?,
                () = &mut late, if or_late => return None,
            };
            match opened {
                Ok(opened) => return Some(Ok((picked, opened))),
                Err(failed) if self.openings.is_empty() => return Some(Err(failed)),
                Err(_) => {}
            }
        }
    }

    /// Ends the other calls; their nodes are known to be slower now.
    fn lost_by_all_but(self, winner: &Arc<Picked>) {
        drop(self.openings);
        self.runners.iter().filter(|runner| !Arc::ptr_eq(runner, winner)).for_each(|slower| slower.lease.outpaced());
    }
}

/// Passes when a call is later than is usual for its model, and at the latest when half of its time is gone: a rival needs
/// the other half.
async fn late(seat: &Seat<'_>) {
    let Seat { call, nodes, .. } = seat;
    // Nobody is late before the prompt is complete.
    call.parts.completed().await;
    let half = call.deadline.saturating_duration_since(Instant::now()) / 2;
    sleep(nodes.hedge_after(&call.model).map_or(half, |usual| usual.min(half))).await;
}

/// What a failure says of a node.
pub(super) fn hold_against(picked: &Picked, error: &Error, watch: &dyn Watch) {
    match error.code {
        // Load, not failure.
        ErrorCode::Overloaded => picked.lease.refused(error.retry_after),
        ErrorCode::DeadlineExceeded => picked.lease.outpaced(),
        // A node that refuses a prompt is not an ailing node.
        code if code.retry() == Retry::Never => {}
        _ => fail(picked, watch),
    }
}

/// What a failure says of a node, and of its call.
fn note(picked: &Picked, failed: &Lost, seat: &Seat<'_>, span: &Span) {
    spans::failed(span, failed.error.code.name());
    hold_against(picked, &failed.error, seat.watch);
    let call = seat.call;
    tracing::debug!(run_id = call.run_id, node = %picked.node, model = call.model, error = %failed.error, "a member's call failed");
}

/// Holds a failure against the node.
fn fail(picked: &Picked, watch: &dyn Watch) {
    if picked.lease.failed() {
        watch.met(Trouble::Ejected);
    }
}
