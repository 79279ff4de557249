//! One attempt of a seat: a call, and a second one to another node where the first is late. Who writes first is the one.

use std::{future::pending, sync::Arc};

use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::time::{Instant, sleep_until};

use super::{
    Call, Nodes, Picked, Wanted,
    attempt::{Opened, open, write},
    attempts::{Answered, Lost, Policy, Watch},
};
use crate::error::{Error, ErrorCode, Retry};

/// How the opening of a call went, and where.
type Opening = (Arc<Picked>, Result<Opened, Lost>);

/// Calls that may all be the one.
struct Race<'c> {
    nodes: &'c dyn Nodes,
    call: &'c Call,
    policy: &'c Policy,
    openings: FuturesUnordered<BoxFuture<'c, Opening>>,
    runners: Vec<Arc<Picked>>,
}

/// Asks the node picked, and perhaps one more. Those asked are tried ones afterwards.
#[allow(clippy::too_many_arguments)]
pub(super) async fn attempt(
    nodes: &dyn Nodes,
    picked: Picked,
    wanted: &Wanted<'_>,
    tried: &mut Vec<Arc<str>>,
    call: &Call,
    policy: &Policy,
    watch: &dyn Watch,
    started: Instant,
) -> Result<Answered, Lost> {
    tried.push(Arc::clone(&picked.node));
    watch.started(&picked.node);
    let mut race = Race { nodes, call, policy, openings: FuturesUnordered::new(), runners: Vec::new() };
    race.enter(picked);
    let late = nodes.hedge_after(wanted.model).map(|late| Instant::now() + late);
    let mut first = race.first(late).await;
    if first.is_none() {
        if let Some(second) = second(nodes, wanted, tried) {
            tracing::debug!(run_id = call.run_id, node = %second.node, model = call.model, "asking a second node: the first is late");
            tried.push(Arc::clone(&second.node));
            race.enter(second);
        }
        first = race.first(None).await;
    }
    let nobody_ran = || Lost { error: Error::new(ErrorCode::Internal, "no call was made"), committed: false };
    let (picked, opened) = first.ok_or_else(nobody_ran)??;
    if race.runners.first().is_some_and(|first| first.node != picked.node) {
        watch.started(&picked.node);
    }
    race.lost_by_all_but(&picked);
    let answered = write(opened, &picked.node, call, policy, watch, started).await;
    match &answered {
        // Else the node that says nothing would be the fastest of all.
        Ok((answered, _)) if answered.text.trim().is_empty() => picked.lease.failed(),
        Ok((answered, first_text)) => picked.lease.answered(*first_text, answered.usage),
        Err(failed) => note(&picked, failed, call),
    }
    answered.map(|(answered, _)| answered)
}

/// Another node, if there is one and asking it is within the budget.
fn second(nodes: &dyn Nodes, wanted: &Wanted<'_>, tried: &[Arc<str>]) -> Option<Picked> {
    nodes.pick(wanted, tried).ok().filter(|picked| !tried.contains(&picked.node) && nodes.may_retry())
}

impl<'c> Race<'c> {
    fn enter(&mut self, picked: Picked) {
        let picked = Arc::new(picked);
        self.runners.push(Arc::clone(&picked));
        let (nodes, call, policy) = (self.nodes, self.call, self.policy);
        self.openings.push(Box::pin(async move {
            let opened = open(nodes, &picked, call, policy).await;
            (picked, opened)
        }));
    }

    /// Who begins to write first, or the failure of the last; none where it is late before that.
    async fn first(&mut self, late: Option<Instant>) -> Option<Result<(Arc<Picked>, Opened), Lost>> {
        let is_late = async {
            match late {
                Some(late) => sleep_until(late).await,
                None => pending().await,
            }
        };
        tokio::pin!(is_late);
        loop {
            let (picked, opened) = tokio::select! {
                biased;
                opening = self.openings.next() => opening?,
                () = &mut is_late => return None,
            };
            match opened {
                Ok(opened) => return Some(Ok((picked, opened))),
                Err(failed) => {
                    note(&picked, &failed, self.call);
                    if self.openings.is_empty() {
                        return Some(Err(failed));
                    }
                }
            }
        }
    }

    /// Ends the other calls; their nodes are known to be slower now.
    fn lost_by_all_but(self, winner: &Arc<Picked>) {
        drop(self.openings);
        self.runners.iter().filter(|runner| !Arc::ptr_eq(runner, winner)).for_each(|slower| slower.lease.outpaced());
    }
}

/// What a failure says of a node.
fn note(picked: &Picked, failed: &Lost, call: &Call) {
    match failed.error.code {
        // Load, not failure.
        ErrorCode::Overloaded => picked.lease.refused(failed.error.retry_after),
        ErrorCode::DeadlineExceeded => picked.lease.outpaced(),
        // A node that refuses a prompt is not an ailing node.
        code if code.retry() == Retry::Never => {}
        _ => picked.lease.failed(),
    }
    tracing::debug!(run_id = call.run_id, node = %picked.node, model = call.model, error = %failed.error, "a member's call failed");
}
