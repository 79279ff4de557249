//! Topologies, nodes and runs in lists.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use synod_proto::v1;

use super::ms;
use crate::{
    client::Offered,
    discovery::{NodeInfo, NodeState},
    records::{Filter, Line, unix_ms},
    runs::{RunRecord, RunState, RunSummary, events::StagePlan},
    topology::Topology,
};

/// How many runs a list has where the request doesn't say.
const DEFAULT_RUNS: usize = 20;

impl From<&Topology> for v1::Topology {
    fn from(topology: &Topology) -> Self {
        let stages = topology.stages().iter().map(|stage| StagePlan::from(stage).into()).collect();
        Self {
            name: topology.name().to_owned(),
            description: topology.description().to_owned(),
            stages,
            deadline_ms: ms(topology.deadline()),
        }
    }
}

/// What a list of topologies says, as a client knows it.
pub(crate) fn offered(response: v1::ListTopologiesResponse) -> Vec<Offered> {
    let default = response.default_topology;
    let one = |topology: v1::Topology| Offered {
        is_default: topology.name == default,
        name: topology.name,
        description: topology.description,
        stages: topology.stages.into_iter().map(Into::into).collect(),
    };
    response.topologies.into_iter().map(one).collect()
}

impl From<NodeInfo> for v1::Node {
    fn from(node: NodeInfo) -> Self {
        let state = match node.status.state {
            NodeState::Ready => v1::NodeState::Ready,
            NodeState::Unreachable => v1::NodeState::Unreachable,
            NodeState::Draining => v1::NodeState::Draining,
        };
        Self {
            id: node.status.id,
            address: node.address,
            state: state.into(),
            models: node.status.models.into_iter().map(|model| model.name).collect(),
            error: node.status.error,
        }
    }
}

impl From<RunSummary> for v1::RunSummary {
    fn from(run: RunSummary) -> Self {
        let state = match run.state {
            RunState::Running => v1::RunState::Running,
            RunState::Finished => v1::RunState::Finished,
            RunState::Failed => v1::RunState::Failed,
            RunState::Cancelled => v1::RunState::Cancelled,
        };
        Self {
            run_id: run.run_id,
            topology: run.topology,
            started: Some(run.began.into()),
            state: state.into(),
            total_ms: ms(run.total),
            degraded: run.degraded,
            error: run.error,
        }
    }
}

impl From<Line> for v1::RunSummary {
    fn from(run: Line) -> Self {
        let state =
            STATES.iter().find(|(name, _)| *name == run.state).map_or_else(Default::default, |(_, state)| *state);
        Self {
            run_id: run.run_id,
            topology: run.topology,
            started: Some((UNIX_EPOCH + Duration::from_millis(run.began_ms)).into()),
            state: state.into(),
            total_ms: u32::try_from(run.total_ms).unwrap_or(u32::MAX),
            degraded: run.degraded,
            error: run.error,
        }
    }
}

impl From<v1::RunSummary> for Line {
    fn from(run: v1::RunSummary) -> Self {
        let state = STATES.iter().find(|(_, state)| *state == run.state()).map_or("unknown", |(name, _)| *name);
        let began = run.started.and_then(|started| SystemTime::try_from(started).ok()).unwrap_or(UNIX_EPOCH);
        Self {
            state: state.to_owned(),
            began_ms: unix_ms(began),
            run_id: run.run_id,
            topology: run.topology,
            total_ms: run.total_ms.into(),
            degraded: run.degraded,
            error: run.error,
        }
    }
}

const STATES: [(&str, v1::RunState); 5] = [
    ("running", v1::RunState::Running),
    ("finished", v1::RunState::Finished),
    ("failed", v1::RunState::Failed),
    ("cancelled", v1::RunState::Cancelled),
    ("unfinished", v1::RunState::Unfinished),
];

impl From<v1::ListRunsRequest> for Filter {
    fn from(request: v1::ListRunsRequest) -> Self {
        let v1::ListRunsRequest { limit, topology, since } = request;
        let since = since.and_then(|since| SystemTime::try_from(since).ok());
        Self {
            limit: if limit == 0 { DEFAULT_RUNS } else { limit as usize },
            topology,
            since_ms: since.map(unix_ms).unwrap_or_default(),
        }
    }
}

impl From<Filter> for v1::ListRunsRequest {
    fn from(filter: Filter) -> Self {
        let since = UNIX_EPOCH + Duration::from_millis(filter.since_ms);
        Self {
            limit: super::small(filter.limit),
            topology: filter.topology,
            since: (filter.since_ms > 0).then(|| since.into()),
        }
    }
}

impl From<RunRecord> for v1::GetRunResponse {
    fn from(run: RunRecord) -> Self {
        let events = run.events.into_iter().map(Into::into).collect();
        Self { run: Some(run.summary.into()), events, record: String::new() }
    }
}
