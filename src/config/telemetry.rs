//! Checks of `[telemetry]`.

use super::check::Checker;
use super::key::KeyPath;
use super::shape::TelemetryShape;

/// Where spans go.
#[derive(Debug, Clone)]
pub(crate) struct Telemetry {
    /// A collector that speaks OTLP over gRPC; none for nowhere.
    pub(crate) endpoint: Option<String>,
    /// Whether they show what people and models wrote.
    pub(crate) texts: bool,
}

impl Checker<'_> {
    pub(super) fn telemetry(&mut self, shape: TelemetryShape) -> Telemetry {
        if let Some(url) = shape.endpoint.as_ref().filter(|url| !super::check::is_node_url(url)) {
            let message = format!("`{url}` is no collector's address: it takes `http://HOST:PORT`, or https");
            self.report(&KeyPath::of(["telemetry", "endpoint"]), message);
        }
        Telemetry { endpoint: shape.endpoint, texts: shape.texts.unwrap_or(false) }
    }
}
