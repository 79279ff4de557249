//! People who ask one question after the other, of whichever aggregator takes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use synod_aggregator::events::Event;
use synod_aggregator::{Client, Error, ErrorCode, Question};
use synod_tls::Tls;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long a test waits for one answer; they take about a second.
const PATIENCE: Duration = Duration::from_secs(60);
/// Before a question that nobody took is put again.
const PAUSE: Duration = Duration::from_millis(200);
/// In a row, before that counts as a failure: both aggregators are never away at once.
const REFUSALS: usize = 20;

/// Questions that flow until [`Load::finish`].
pub(crate) struct Load {
    stop: CancellationToken,
    answered: Arc<AtomicUsize>,
    askers: JoinSet<Vec<String>>,
}

impl Load {
    /// Begins with so many people.
    pub(crate) fn start(people: usize, aggregators: &[String], tls: Option<Arc<Tls>>) -> Self {
        let mut load = Self { stop: CancellationToken::new(), answered: Arc::default(), askers: JoinSet::new() };
        for _ in 0..people {
            let (aggregators, tls) = (aggregators.to_vec(), tls.clone());
            load.askers.spawn(ask_on(aggregators, tls, load.stop.clone(), Arc::clone(&load.answered)));
        }
        load
    }

    /// Waits until so many more were answered.
    pub(crate) async fn answers(&self, more: usize) {
        let target = self.answered.load(Ordering::Relaxed) + more;
        let waiting = async {
            while self.answered.load(Ordering::Relaxed) < target {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("no answers");
    }

    /// How many were answered, and what went wrong.
    pub(crate) async fn finish(mut self) -> (usize, Vec<String>) {
        self.stop.cancel();
        let mut failures = Vec::new();
        while let Some(asked) = self.askers.join_next().await {
            failures.extend(asked.unwrap());
        }
        (self.answered.load(Ordering::Relaxed), failures)
    }
}

async fn ask_on(
    aggregators: Vec<String>,
    tls: Option<Arc<Tls>>,
    stop: CancellationToken,
    answered: Arc<AtomicUsize>,
) -> Vec<String> {
    let (mut failures, mut turn) = (Vec::new(), 0_usize);
    while !stop.is_cancelled() {
        // Nobody is turned away by both for long.
        let mut refusals = 0;
        loop {
            let aggregator = &aggregators[turn % aggregators.len()];
            match tokio::time::timeout(PATIENCE, ask(aggregator, tls.as_ref())).await {
                Ok(Ok(())) => {
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                Ok(Err(Refusal::BeforeTheRun(_))) if refusals < REFUSALS => {
                    (turn, refusals) = (turn + 1, refusals + 1);
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                Ok(Err(Refusal::BeforeTheRun(error) | Refusal::InTheRun(error))) => {
                    failures.push(format!("{aggregator}: {error}"));
                }
                Err(_) => failures.push(format!("{aggregator}: no answer within {PATIENCE:?}")),
            }
            break;
        }
    }
    failures
}

enum Refusal {
    /// Nothing has begun: another aggregator can be asked.
    BeforeTheRun(Error),
    /// A run failed, which must not happen.
    InTheRun(Error),
}

async fn ask(aggregator: &str, tls: Option<&Arc<Tls>>) -> Result<(), Refusal> {
    let client = match tls {
        Some(tls) => Client::connect_tls(aggregator, tls).await,
        None => Client::connect(aggregator).await,
    };
    let question = Question::new("Why do leaves change colour in autumn?");
    let mut client = client.map_err(Refusal::BeforeTheRun)?;
    let mut stream = client.ask(question).await.map_err(Refusal::BeforeTheRun)?;
    let mut began = false;
    while let Some(event) = stream.next().await {
        match event {
            Ok(Event::RunFinished(_)) => return Ok(()),
            Ok(_) => began = true,
            Err(error) if !began && error.code == ErrorCode::Unavailable => return Err(Refusal::BeforeTheRun(error)),
            Err(error) => return Err(Refusal::InTheRun(error)),
        }
    }
    Err(Refusal::InTheRun(Error::new(ErrorCode::MemberFailed, "the stream ended before the run")))
}
