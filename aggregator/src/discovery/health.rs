//! Being told at once when a node stops serving, serves again, or its connection breaks: `grpc.health.v1.Health/Watch`.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use tonic::{Streaming, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus, health_client::HealthClient,
};

/// The stream of a node's health, where the node has one.
pub(super) struct Watch {
    stream: Option<Streaming<HealthCheckResponse>>,
    /// When to open it again: a node whose streams end at once is not asked in a loop.
    not_before: Option<Instant>,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self { stream: None, not_before: None }
    }

    /// Opens it if it is not open. What goes wrong is no news: looks go on without it.
    pub(super) async fn open(&mut self, channel: &Channel, pause: Duration, patience: Duration) {
        let now = Instant::now();
        if self.stream.is_some() || self.not_before.is_some_and(|then| now < then) {
            return;
        }
        self.not_before = Some(now + pause);
        let mut client = HealthClient::new(channel.clone());
        let opened = timeout(patience, client.watch(HealthCheckRequest::default())).await;
        self.stream = opened.ok().and_then(Result::ok).map(tonic::Response::into_inner);
    }

    /// Waits until the node says something else than `serving`, or the stream ends; for ever where there is none.
    pub(super) async fn differs(&mut self, serving: bool) {
        let Some(stream) = &mut self.stream else { return std::future::pending().await };
        while let Ok(Some(said)) = stream.message().await {
            if is_serving(&said) != serving {
                return;
            }
        }
        self.stream = None;
    }
}

/// Whether a node says that it serves.
pub(super) fn is_serving(said: &HealthCheckResponse) -> bool {
    said.status == i32::from(ServingStatus::Serving)
}
