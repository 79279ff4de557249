//! A small client, for `synod ask` and for tests: plain types in, plain types out.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::{StreamExt, stream::BoxStream};
use synod_proto::v1::{
    AskRequest, GetRunRequest, ListNodesRequest, ListRunsRequest, ListTopologiesRequest,
    aggregator_service_client::AggregatorServiceClient,
};
use synod_tls::Tls;
use tonic::{
    Request,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::{
    error::{Error, ErrorCode},
    records::{Filter, Line, Record},
    runs::{
        Question,
        events::{Event, StagePlan},
    },
    wire::{error_of, event_of, offered},
};

/// Answers may be long, and drafts come with them.
const MAX_MESSAGE_BYTES: usize = 16 << 20;
const CONNECT: Duration = Duration::from_secs(2);

/// A connection to an aggregator.
#[derive(Debug, Clone)]
pub struct Client(AggregatorServiceClient<Channel>);

/// A topology that an aggregator offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    /// Its name.
    pub name: String,
    /// What it is good for.
    pub description: String,
    /// Its stages.
    pub stages: Vec<StagePlan>,
    /// Whether it is asked where a question names none.
    pub is_default: bool,
}

impl Client {
    /// Connects in the clear, or says that nobody is there.
    pub async fn connect(address: &str) -> Result<Self, Error> {
        let channel = endpoint(address)?.connect().await.map_err(|error| nobody(address, &error))?;
        Ok(Self::over(channel))
    }

    /// Connects and shows a certificate, or says that nobody is there or lets us in.
    pub async fn connect_tls(address: &str, tls: &Arc<Tls>) -> Result<Self, Error> {
        let channel = Arc::clone(tls).channel(&endpoint(address)?);
        // Such a channel connects when it is first used, so it is used.
        let looked = HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await;
        looked.map_err(|status| nobody(address, &status))?;
        Ok(Self::over(channel))
    }

    fn over(channel: Channel) -> Self {
        Self(AggregatorServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES))
    }

    /// Asks. The stream ends after the run's last event, with an error if that is a failure; dropping it cancels the run.
    pub async fn ask(&mut self, question: Question) -> Result<BoxStream<'static, Result<Event, Error>>, Error> {
        let deadline = question.deadline;
        let mut request = Request::new(AskRequest::from(question));
        if let Some(deadline) = deadline {
            request.set_timeout(deadline);
        }
        let responses = self.0.ask(request).await.map_err(|status| error_of(&status))?.into_inner();
        let event = |response: Result<_, tonic::Status>| match response {
            Ok(response) => event_of(response).map(Ok),
            Err(status) => Some(Err(error_of(&status))),
        };
        Ok(responses.filter_map(move |response| std::future::ready(event(response))).boxed())
    }

    /// The topologies that it offers.
    pub async fn topologies(&mut self) -> Result<Vec<Offered>, Error> {
        let response = self.0.list_topologies(ListTopologiesRequest {}).await.map_err(|status| error_of(&status))?;
        Ok(offered(response.into_inner()))
    }

    /// The models that its nodes host, those of nodes that are away for now included.
    pub async fn models(&mut self) -> Result<BTreeSet<String>, Error> {
        let response = self.0.list_nodes(ListNodesRequest {}).await.map_err(|status| error_of(&status))?;
        Ok(response.into_inner().nodes.into_iter().flat_map(|node| node.models).collect())
    }

    /// Runs in a list, the newest first.
    pub async fn runs(&mut self, filter: Filter) -> Result<Vec<Line>, Error> {
        let response = self.0.list_runs(ListRunsRequest::from(filter)).await.map_err(|status| error_of(&status))?;
        Ok(response.into_inner().runs.into_iter().map(Line::from).collect())
    }

    /// Everything that is recorded of a run, by its id, a beginning of it that no other has, or as `last`. None where the
    /// aggregator does not record runs.
    pub async fn record(&mut self, run: &str) -> Result<Option<Record>, Error> {
        let request = GetRunRequest { run_id: run.to_owned() };
        let record = self.0.get_run(request).await.map_err(|status| error_of(&status))?.into_inner().record;
        if record.is_empty() {
            return Ok(None);
        }
        let read = serde_json::from_str(&record);
        read.map(Some).map_err(|error| Error::new(ErrorCode::Internal, format!("reading the record of {run}: {error}")))
    }
}

fn endpoint(address: &str) -> Result<Endpoint, Error> {
    // What is below the endpoint is chosen by the function, not by the scheme.
    let authority = address.split_once("://").map_or(address, |(_, authority)| authority);
    let endpoint = Endpoint::from_shared(format!("http://{authority}"))
        .map_err(|error| Error::invalid(format!("\"{address}\" is not an address: {error}")))?;
    Ok(endpoint.connect_timeout(CONNECT).tcp_nodelay(true))
}

fn nobody(address: &str, error: &dyn std::error::Error) -> Error {
    Error::new(ErrorCode::Unavailable, format!("no aggregator answers at {address}: {}", chain(error)))
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
