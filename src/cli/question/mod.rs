//! A question to a mixture, as `synod ask` and `synod chat` put it: the flags that say how, and the answer as it comes.

mod panel;
pub(super) mod record;
pub(super) mod view;

use std::time::Duration;

use clap::Args;
use futures::StreamExt;
use synod_aggregator::{
    Client, Error, Question,
    topology::{MaxTokens, OutOfRange, Overrides, Sampling, Temperature},
};

use super::reach::Whom;
use crate::exit::{ExitCode, Failure};
use record::Record;
use view::View;

/// How questions are asked.
#[derive(Debug, Clone, Args)]
pub(super) struct QuestionFlags {
    /// A name from `synod topology list`
    #[arg(long, value_name = "NAME")]
    pub(super) topology: Option<String>,
    /// Models that draft, a seat each, in place of the topology's own
    #[arg(long, value_name = "MODEL", value_delimiter = ',')]
    proposers: Vec<String>,
    /// The model that writes the answer, in place of the topology's own
    #[arg(long, value_name = "MODEL")]
    synthesizer: Option<String>,
    /// How many usable drafts are enough
    #[arg(long, value_name = "N")]
    quorum: Option<usize>,
    /// A running aggregator
    #[arg(long, value_name = "URL", env = "SYNOD_ENDPOINT")]
    endpoint: Option<String>,
    /// The most tokens of any answer in the run
    #[arg(long, value_name = "N")]
    max_tokens: Option<u32>,
    /// The synthesiser's temperature, from 0 (greedy) to 2
    #[arg(long, value_name = "T")]
    temperature: Option<f32>,
    /// The same seed gives the same text
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
    /// What all models are told first
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Give up after so many seconds
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
}

impl QuestionFlags {
    /// Whom to ask.
    pub(super) fn whom(&self) -> Whom<'_> {
        let (endpoint, topology) = (self.endpoint.as_deref(), self.topology.as_deref());
        Whom { endpoint, topology, overrides: self.overrides() }
    }

    /// What is changed of the topology.
    pub(super) fn overrides(&self) -> Overrides {
        let Self { proposers, synthesizer, quorum, .. } = self;
        Overrides { proposers: proposers.clone(), synthesizer: synthesizer.clone(), quorum: *quorum }
    }

    /// A conversation whose last message is the question.
    ///
    /// # Errors
    /// A number is out of its range.
    pub(super) fn question(&self, messages: impl IntoIterator<Item = (String, String)>) -> Result<Question, Failure> {
        let usage = |error: OutOfRange| Failure::new(ExitCode::Usage, error.to_string());
        let sampling = Sampling {
            max_tokens: self.max_tokens.map(MaxTokens::try_new).transpose().map_err(usage)?,
            temperature: self.temperature.map(Temperature::try_new).transpose().map_err(usage)?,
            seed: self.seed,
            ..Sampling::default()
        };
        let system = self.system.iter().map(|text| ("system".to_owned(), text.clone()));
        Ok(Question {
            messages: system.chain(messages).collect(),
            topology: self.topology.clone().unwrap_or_default(),
            overrides: self.overrides(),
            sampling,
            deadline: self.timeout.map(Duration::from_secs),
            ..Question::default()
        })
    }
}

/// Asks and shows what happens. Dropping the future cancels the run.
///
/// # Errors
/// There is no answer, or nobody to show it to.
pub(super) async fn answer(client: &mut Client, question: Question, view: &View) -> Result<Record, Unanswered> {
    let mut events = client.ask(question).await?;
    let mut record = Record::default();
    while let Some(event) = events.next().await {
        let event = event?;
        view.event(&event, &record)?;
        record.take(event);
    }
    Ok(record)
}

/// Why there is no answer.
pub(super) enum Unanswered {
    /// The aggregator says so.
    Refused(Error),
    /// It cannot be shown.
    Unseen(Failure),
}

impl From<Error> for Unanswered {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<Failure> for Unanswered {
    fn from(failure: Failure) -> Self {
        Self::Unseen(failure)
    }
}

impl From<Unanswered> for Failure {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Refused(error) => super::reach::failure(error),
            Unanswered::Unseen(failure) => failure,
        }
    }
}

/// The user wants no answer any more.
pub(super) fn interrupted() -> Failure {
    Failure::new(ExitCode::Interrupted, "interrupted")
}
