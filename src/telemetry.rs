//! Spans to a collector, over OTLP/gRPC: where `OTEL_EXPORTER_OTLP_ENDPOINT` or `[telemetry] endpoint` names one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{self, SdkTracerProvider, SpanData};
use synod_telemetry::spans;
use tokio::runtime::Handle;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::{Layer, Registry};

use crate::cli::Cli;
use crate::config::{self, Layers};

/// Where collectors are named for all of a machine's programs; that of traces alone goes before that of all.
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
/// Whether spans show what people and models wrote.
const TEXTS: &str = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT";
/// To hand over spans, tries included.
const EXPORT: Duration = Duration::from_secs(5);
/// To hand over the last of them when the process ends.
const FLUSH: Duration = Duration::from_secs(2);

/// The collector in use, for the nodes that this process starts.
static IN_USE: OnceLock<String> = OnceLock::new();

/// The spans of this process on their way out.
pub(crate) struct Telemetry {
    provider: Option<SdkTracerProvider>,
    /// Why there are none although somebody wants them.
    problem: Option<String>,
}

impl Telemetry {
    /// Ready to send, if this command takes part in runs and a collector is named. Must be called within the runtime, and
    /// connects to nothing yet.
    pub(crate) fn open(cli: &Cli) -> Self {
        let off = Self { provider: None, problem: None };
        let Some(service) = cli.command.service() else { return off };
        let configured = configured(cli);
        let Some(endpoint) = endpoint(configured.as_ref()) else { return off };
        if variable(TEXTS).map_or(configured.is_some_and(|telemetry| telemetry.texts), |value| is(&value, "true")) {
            spans::show_texts();
        }
        let exporter = SpanExporter::builder().with_tonic().with_endpoint(&endpoint).with_timeout(EXPORT).build();
        let exporter = match exporter {
            Ok(exporter) => Arc::new(exporter),
            Err(error) => return Self { problem: Some(format!("{endpoint}: {error}")), ..off },
        };
        let collector = Collector { exporter, runtime: Handle::current(), is_away: AtomicBool::new(false) };
        let provider = SdkTracerProvider::builder().with_batch_exporter(collector).with_resource(resource(service));
        IN_USE.get_or_init(|| endpoint);
        Self { provider: Some(provider.build()), problem: None }
    }

    /// What takes the steps of runs, and nothing else, from the code to the collector.
    pub(crate) fn layer(&self) -> Option<Box<dyn Layer<Registry> + Send + Sync>> {
        let tracer = self.provider.as_ref()?.tracer("synod");
        let steps = filter_fn(|metadata| metadata.is_span() && metadata.target() == spans::TARGET);
        let layer = tracing_opentelemetry::layer().with_tracer(tracer).with_location(false).with_threads(false);
        let layer = layer.with_tracked_inactivity(false).with_target(false).with_level(false);
        Some(layer.with_filter(steps.with_max_level_hint(LevelFilter::INFO)).boxed())
    }

    /// Into the log, which is there by now.
    pub(crate) fn complain(&self) {
        if let Some(problem) = &self.problem {
            tracing::warn!(problem, "spans are not collected");
        }
    }

    /// Hands over what is left, if that is soon done.
    pub(crate) fn flush(self) {
        if let Some(provider) = self.provider {
            // What failed has been said.
            let _ = provider.shutdown_with_timeout(FLUSH);
        }
    }
}

/// What a node that this process starts must know of the collector.
pub(crate) fn environment() -> Option<(&'static str, &'static str)> {
    IN_USE.get().map(|endpoint| (ENDPOINT, endpoint.as_str()))
}

/// What the configuration says; what is wrong with it, the command itself will say.
fn configured(cli: &Cli) -> Option<config::Telemetry> {
    Some(Layers::of_process(cli.global.config.as_deref()).load().ok()?.telemetry)
}

/// The collector: the environment's, as in other programs, or else the configuration's.
fn endpoint(configured: Option<&config::Telemetry>) -> Option<String> {
    let says = |name, word: &str| variable(name).is_some_and(|value| is(&value, word));
    if says("OTEL_SDK_DISABLED", "true") || says("OTEL_TRACES_EXPORTER", "none") {
        return None;
    }
    let configured = || configured.and_then(|telemetry| telemetry.endpoint.clone());
    variable(TRACES_ENDPOINT).or_else(|| variable(ENDPOINT)).or_else(configured)
}

/// Of the environment, if it says anything.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

fn is(value: &str, word: &str) -> bool {
    value.trim().eq_ignore_ascii_case(word)
}

/// Who sends the spans: `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` have the last word.
fn resource(service: &'static str) -> Resource {
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let resource = Resource::builder().with_attribute(version);
    let is_named = std::env::var_os("OTEL_SERVICE_NAME").is_some()
        || std::env::var("OTEL_RESOURCE_ATTRIBUTES").is_ok_and(|attributes| attributes.contains("service.name"));
    if is_named { resource.build() } else { resource.with_service_name(service).build() }
}

/// The way to a collector. One that is away costs its spans, and is said once.
#[derive(Debug)]
struct Collector {
    exporter: Arc<SpanExporter>,
    /// Spans come on a thread that is none of the runtime's.
    runtime: Handle,
    is_away: AtomicBool,
}

impl trace::SpanExporter for Collector {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let exporter = Arc::clone(&self.exporter);
        let exported = self.runtime.spawn(async move { exporter.export(batch).await }).await;
        let exported = exported.unwrap_or_else(|error| Err(OTelSdkError::InternalFailure(error.to_string())));
        match &exported {
            Ok(()) if self.is_away.swap(false, Ordering::Relaxed) => {
                tracing::info!("spans reach their collector again")
            }
            Err(error) if !self.is_away.swap(true, Ordering::Relaxed) => {
                tracing::warn!(%error, "spans do not reach their collector and are dropped; runs go on as ever");
            }
            _ => {}
        }
        exported
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        // It is shared only once it sends.
        if let Some(exporter) = Arc::get_mut(&mut self.exporter) {
            exporter.set_resource(resource);
        }
    }
}
