//! Logs on stderr, as text or JSON; `RUST_LOG` chooses what.

use clap::ValueEnum;
use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

use crate::live::Above;
use crate::warnings;

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

/// Starts logging. Warnings and worse unless `RUST_LOG` says otherwise; errors only when quiet.
pub(crate) fn start(format: LogFormat, quiet: bool) {
    // hf-hub logs an error for each failed request; a pull reports it, or succeeds from another source.
    let default = if quiet { "error,hf_hub=off" } else { "warn,hf_hub=off" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| Above);
    match format {
        LogFormat::Text => {
            builder.with_ansi(std::env::var_os("NO_COLOR").is_none()).finish().with(warnings::Keep).init();
        }
        LogFormat::Json => builder.json().finish().with(warnings::Keep).init(),
    }
}
