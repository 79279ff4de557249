//! Looking at one node, again and again: does it serve, and what?

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use synod_proto::v1::{DescribeRequest, DescribeResponse, ModelKind, node_service_client::NodeServiceClient};
use tokio::time::{sleep, timeout};
use tonic::{Code, Request, Status, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::{
    Entry, Hosted, NodeState,
    health::{Watch, is_serving},
};
use crate::{
    limits::Limits,
    members::{Announced, explain},
};

/// The first pause after a look that failed; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// How many looks in a row may run out of time before a node that was well is given up: it may only be busy.
const PATIENCE: u32 = 2;

/// Looks until it is dropped; tells of each look. The seed is what pauses are jittered by.
pub(super) async fn keep_looking(entry: Arc<Entry>, limits: Limits, seed: u64, changed: impl Fn()) {
    let Some(channel) = entry.channel() else { return };
    let mut failures = 0_u32;
    // The failures of looks that nobody asked for: looks on demand do not lengthen the pauses.
    let mut on_schedule = 0_u32;
    let mut asked = false;
    let mut watch = Watch::new(channel.clone(), limits.poll_interval);
    loop {
        let looked = timeout(limits.poll_timeout, look(channel.clone())).await;
        if let Ok(Ok(seen)) = looked {
            (failures, on_schedule) = (0, 0);
            record(&entry, seen);
        } else {
            failures += 1;
            on_schedule += u32::from(!asked);
            let was_well = entry.status().state == NodeState::Ready;
            match looked {
                Ok(Err(status)) => give_up(&entry, explain(&status).message),
                _ if was_well && failures < PATIENCE => {}
                _ => give_up(&entry, format!("no answer within {:?}", limits.poll_timeout)),
            }
        }
        let pause = match failures {
            0 => limits.poll_interval,
            _ => backoff(on_schedule, limits.reconnect_max, jitter(&entry, seed, failures)),
        };
        changed();
        asked = tokio::select! {
            biased;
            () = entry.asked_again() => true,
            () = sleep(pause) => false,
            () = watch.differs(entry.status().state == NodeState::Ready), if failures == 0 => false,
        };
    }
}

struct Seen {
    serving: bool,
    description: DescribeResponse,
}

async fn look(channel: Channel) -> Result<Seen, Status> {
    let check = HealthClient::new(channel.clone()).check(Request::new(HealthCheckRequest::default())).await;
    let serving = match check {
        Ok(response) => is_serving(&response.into_inner()),
        // A node of another make may have no health service.
        Err(status) if status.code() == Code::Unimplemented => true,
        Err(status) => return Err(status),
    };
    let description = NodeServiceClient::new(channel).describe(DescribeRequest {}).await?.into_inner();
    Ok(Seen { serving, description })
}

fn record(entry: &Entry, seen: Seen) {
    let hosted = |model: synod_proto::v1::HostedModel| Hosted {
        writes: model.kind() != ModelKind::Embedding,
        name: model.name,
        context_length: model.context_length,
    };
    if entry.status().state == NodeState::Unreachable {
        entry.restarted();
    }
    entry.announced(&seen.description.models.iter().map(announced).collect::<Vec<_>>());
    entry.update(|status| {
        status.state = if seen.serving { NodeState::Ready } else { NodeState::Draining };
        status.id = seen.description.node_id;
        status.models = seen.description.models.into_iter().map(hosted).collect();
        status.error = if seen.serving { String::new() } else { "it reports that it is not serving".to_owned() };
    });
}

fn announced(model: &synod_proto::v1::HostedModel) -> (String, Announced) {
    let size = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let busy = size(model.running).saturating_add(size(model.queued));
    let (prefill_tok_s, decode_tok_s) = (model.prefill_tok_s, model.decode_tok_s);
    (model.name.clone(), Announced { busy, max_running: size(model.max_running), prefill_tok_s, decode_tok_s })
}

fn give_up(entry: &Entry, error: String) {
    entry.update(|status| {
        status.state = NodeState::Unreachable;
        status.error = error;
    });
}

/// Doubles from the first pause up to the longest, times the jitter.
fn backoff(failures: u32, longest: Duration, jitter: f64) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1).min(16)));
    doubled.min(longest).mul_f64(jitter)
}

/// A fifth more or less, so that nodes are not asked in step.
fn jitter(entry: &Entry, seed: u64, failures: u32) -> f64 {
    let mut hasher = DefaultHasher::new();
    (seed, entry.address(), failures).hash(&mut hasher);
    0.8 + 0.4 * (hasher.finish() % 1000) as f64 / 1000.0
}
