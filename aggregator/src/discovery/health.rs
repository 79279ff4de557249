//! Being told at once when a node stops serving, serves again, or its connection breaks: `grpc.health.v1.Health/Watch`.

use std::time::Duration;

use tokio::time::Instant;
use tonic::{Streaming, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus, health_client::HealthClient,
};

/// The stream of a node's health, where the node has one.
pub(super) struct Watch {
    client: HealthClient<Channel>,
    stream: Option<Streaming<HealthCheckResponse>>,
    pause: Duration,
    /// When to open it again: a node whose streams end at once is not asked in a loop.
    not_before: Option<Instant>,
}

impl Watch {
    /// Opened when it is first waited for, and after it ended no sooner than `pause` after it was opened.
    pub(super) fn new(channel: Channel, pause: Duration) -> Self {
        Self { client: HealthClient::new(channel), stream: None, pause, not_before: None }
    }

    /// Waits until the node says something else than `serving`, or the stream ends; for ever where there is none, since looks
    /// go on without it.
    pub(super) async fn differs(&mut self, serving: bool) {
        if self.stream.is_none() && self.not_before.is_none_or(|then| Instant::now() >= then) {
            self.not_before = Some(Instant::now() + self.pause);
            let opened = self.client.watch(HealthCheckRequest::default()).await;
            self.stream = opened.ok().map(tonic::Response::into_inner);
        }
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
