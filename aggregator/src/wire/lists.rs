//! Topologies, nodes and runs in lists.

use synod_proto::v1;

use super::ms;
use crate::{
    discovery::{NodeInfo, NodeState},
    runs::{RunRecord, RunState, RunSummary, events::StagePlan},
    topology::Topology,
};

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

impl From<RunRecord> for v1::GetRunResponse {
    fn from(run: RunRecord) -> Self {
        Self { run: Some(run.summary.into()), events: run.events.into_iter().map(Into::into).collect() }
    }
}
