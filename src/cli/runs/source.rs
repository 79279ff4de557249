//! Where records are read: a running aggregator, or the file.

use synod_aggregator::Client;
use synod_aggregator::records::{Filter, Line, ReadError, Reader, Record};

use super::Whose;
use crate::cli::{Context, reach};
use crate::exit::{ExitCode, Failure};
use crate::records;

/// Somebody who knows runs.
pub(super) enum Source {
    Aggregator(Client),
    File(Reader),
}

impl Source {
    /// The aggregator, if one runs or is named; else the file.
    pub(super) async fn open(whose: &Whose, context: &Context) -> Result<Self, Failure> {
        if let Some(client) = reach::running(whose.endpoint.as_deref(), context).await? {
            return Ok(Self::Aggregator(client));
        }
        let path = records::path(&context.layers().load()?)?;
        Ok(Self::File(Reader::open(&path).map_err(failure)?))
    }

    /// Runs in a list, the newest first.
    pub(super) async fn list(&mut self, filter: Filter) -> Result<Vec<Line>, Failure> {
        match self {
            Self::Aggregator(client) => client.runs(filter).await.map_err(reach::failure),
            Self::File(reader) => reader.list(&filter).map_err(failure),
        }
    }

    /// All of a run.
    pub(super) async fn get(&mut self, run: &str) -> Result<Record, Failure> {
        match self {
            Self::Aggregator(client) => recorded(client, run).await,
            Self::File(reader) => reader.get(&reader.resolve(run).map_err(failure)?).map_err(failure),
        }
    }
}

/// The record that an aggregator has of a run.
pub(super) async fn recorded(client: &mut Client, run: &str) -> Result<Record, Failure> {
    let record = client.record(run).await.map_err(reach::failure)?;
    record.ok_or_else(|| {
        Failure::new(ExitCode::Failed, "this aggregator does not record runs")
            .hint("set [records] enabled = true there")
    })
}

fn failure(error: ReadError) -> Failure {
    let hint = match &error {
        ReadError::Nothing(_) => Some("ask something first; [records] path says where runs are recorded"),
        _ => None,
    };
    let code = if matches!(error, ReadError::Ambiguous { .. }) { ExitCode::Usage } else { ExitCode::Failed };
    Failure { code, message: error.to_string(), hint: hint.map(str::to_owned) }
}
