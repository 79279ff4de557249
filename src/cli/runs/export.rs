//! `synod runs export`

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use synod_aggregator::records::Filter;

use super::{Whose, source::Source};
use crate::cli::Context;
use crate::exit::{ExitCode, Failure};

/// Print runs as JSON, one a line, the oldest first
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Only runs that began since then: a span such as 12h or 7d, or a time such as 2026-11-01T00:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<SystemTime>,
    #[command(flatten)]
    whose: Whose,
}

pub(super) async fn run(export: Export, context: Context) -> Result<(), Failure> {
    let mut source = Source::open(&export.whose, &context).await?;
    let since = export.since.and_then(|since| since.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    let since_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    let runs = source.list(Filter { limit: u32::MAX as usize, topology: String::new(), since_ms }).await?;
    for run in runs.iter().rev() {
        match source.get(&run.run_id).await {
            Ok(record) => context.output.json(&record)?,
            // Retention may be faster than an export.
            Err(gone) if gone.code == ExitCode::Failed => context.output.note(&format!("left out: {}", gone.message)),
            Err(failure) => return Err(failure),
        }
    }
    Ok(())
}

fn since(text: &str) -> Result<SystemTime, String> {
    let ago = |span: Duration| SystemTime::now().checked_sub(span);
    let span = humantime::parse_duration(text).ok().and_then(ago);
    span.or_else(|| humantime::parse_rfc3339_weak(text).ok())
        .ok_or_else(|| "give a span such as 12h or 7d, or a time such as 2026-11-01T00:00:00Z".to_owned())
}
