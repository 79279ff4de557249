//! `AggregatorService` over the runner and the pool: the edge where the protocol ends.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream::BoxStream};
use synod_proto::v1::{
    AskRequest, AskResponse, GetRunRequest, GetRunResponse, ListNodesRequest, ListNodesResponse, ListRunsRequest,
    ListRunsResponse, ListTopologiesRequest, ListTopologiesResponse, aggregator_service_server::AggregatorService,
};
use synod_telemetry::Parent;
use tonic::{Request, Response, Status, metadata::MetadataMap};

use crate::{
    discovery::Pool,
    error::Error,
    records::Filter,
    runs::{Question, Runner},
    wire::status_of,
};

/// The service.
pub(crate) struct Service {
    pub(crate) runner: Arc<Runner>,
    pub(crate) pool: Arc<Pool>,
}

#[tonic::async_trait]
impl AggregatorService for Service {
    type AskStream = BoxStream<'static, Result<AskResponse, Status>>;

    async fn ask(&self, request: Request<AskRequest>) -> Result<Response<Self::AskStream>, Status> {
        let (deadline, parent) = (timeout_of(request.metadata()), Parent::of(request.metadata().as_ref()));
        let question = Question::try_from(request.into_inner()).map_err(refuse)?;
        let events = self.runner.start(Question { deadline, parent, ..question }).map_err(refuse)?;
        let response = |event: Result<_, Error>| event.map(AskResponse::from).map_err(|error| status_of(&error));
        Ok(Response::new(events.map(response).boxed()))
    }

    async fn list_topologies(
        &self,
        _: Request<ListTopologiesRequest>,
    ) -> Result<Response<ListTopologiesResponse>, Status> {
        let topologies = self.runner.topologies();
        Ok(Response::new(ListTopologiesResponse {
            topologies: topologies.iter().map(Into::into).collect(),
            default_topology: topologies.default_name().to_owned(),
        }))
    }

    async fn list_nodes(&self, _: Request<ListNodesRequest>) -> Result<Response<ListNodesResponse>, Status> {
        Ok(Response::new(ListNodesResponse { nodes: self.pool.list().into_iter().map(Into::into).collect() }))
    }

    async fn list_runs(&self, request: Request<ListRunsRequest>) -> Result<Response<ListRunsResponse>, Status> {
        let filter = Filter::from(request.into_inner());
        let runs = self.runner.lines(filter).await.map_err(refuse)?;
        Ok(Response::new(ListRunsResponse { runs: runs.into_iter().map(Into::into).collect() }))
    }

    async fn get_run(&self, request: Request<GetRunRequest>) -> Result<Response<GetRunResponse>, Status> {
        let run_id = request.into_inner().run_id;
        let Some(record) = self.runner.record(&run_id).await.map_err(refuse)? else {
            return Ok(Response::new(self.runner.get(&run_id).map_err(refuse)?.into()));
        };
        // What this process remembers says more of a run in flight.
        let run_id = record.began.run_id.clone();
        let known = self.runner.get(&run_id).map(GetRunResponse::from);
        let known = known.unwrap_or_else(|_| GetRunResponse { run: Some(record.line().into()), ..Default::default() });
        let record = serde_json::to_string(&record);
        let record = record.map_err(|error| Status::internal(format!("writing the record as JSON: {error}")))?;
        Ok(Response::new(GetRunResponse { record, ..known }))
    }
}

fn refuse(error: Error) -> Status {
    error.log("", "call refused");
    status_of(&error)
}

/// The caller's deadline, which tonic itself holds only up to the head of the response.
fn timeout_of(metadata: &MetadataMap) -> Option<Duration> {
    let text = metadata.get("grpc-timeout")?.to_str().ok()?;
    let unit_at = text.len().checked_sub(1)?;
    let (digits, unit) = text.is_char_boundary(unit_at).then(|| text.split_at(unit_at))?;
    let is_number = (1..=8).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    let value: u64 = digits.parse().ok().filter(|_| is_number)?;
    match unit {
        "H" => Some(Duration::from_secs(value * 3600)),
        "M" => Some(Duration::from_secs(value * 60)),
        "S" => Some(Duration::from_secs(value)),
        "m" => Some(Duration::from_millis(value)),
        "u" => Some(Duration::from_micros(value)),
        "n" => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_callers_timeout_is_read_as_the_specification_writes_it() {
        for (text, span) in [
            ("2S", Some(Duration::from_secs(2))),
            ("150m", Some(Duration::from_millis(150))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("999999999S", None),
            ("S", None),
            ("2", None),
            ("-2S", None),
            ("2 S", None),
        ] {
            let mut metadata = MetadataMap::new();
            metadata.insert("grpc-timeout", text.parse().unwrap());
            assert_eq!(timeout_of(&metadata), span, "{text}");
        }
    }
}
