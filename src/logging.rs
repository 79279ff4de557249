//! Logs on stderr, as text or JSON; `RUST_LOG` chooses what.

use clap::ValueEnum;
use synod_telemetry::spans;
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{FilterExt, filter_fn},
    fmt,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use crate::{live::Above, warnings};

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

/// Starts logging, and `collecting` spans where somebody does. Warnings and worse unless `RUST_LOG` says otherwise; errors
/// only when quiet.
pub(crate) fn start(format: LogFormat, quiet: bool, collecting: Option<Box<dyn Layer<Registry> + Send + Sync>>) {
    // hf-hub logs an error for each failed request; a pull reports it, or succeeds from another source.
    let default = if quiet { "error,hf_hub=off" } else { "warn,hf_hub=off" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    // The steps of runs are for collectors: lines of the log say themselves which run they are about.
    let filter = filter.and(filter_fn(|metadata| metadata.target() != spans::TARGET));
    let lines = fmt::layer().with_writer(|| Above);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(std::env::var_os("NO_COLOR").is_none()).boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    let told = lines.and_then(warnings::Keep).with_filter(filter);
    tracing_subscriber::registry().with(collecting).with(told).init();
}
