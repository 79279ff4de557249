//! Callers, and what they see.

use std::time::{Duration, Instant};

use futures::{StreamExt, future::join_all};
use synod_aggregator::{Client, Error, ErrorCode, Question, events::Event};
use tokio::time::{interval, sleep};

use crate::nodes::{DELTAS, PACE};

/// Connections that callers share: a server takes some 200 calls on each.
const CONNECTIONS: usize = 16;

/// How one run went.
pub(crate) struct Outcome {
    pub(crate) finished: usize,
    pub(crate) failed: usize,
    pub(crate) total: Duration,
    pace: Duration,
}

impl Outcome {
    /// What it took beyond the nodes' timetables of two stages.
    pub(crate) fn overhead(&self) -> Duration {
        self.total.saturating_sub(self.pace * DELTAS * 2)
    }
}

/// What came of asking beyond the limit.
pub(crate) struct Storm {
    pub(crate) accepted: Vec<Outcome>,
    /// How long each refusal took.
    pub(crate) refusals: Vec<Duration>,
}

pub(crate) struct Callers(Vec<Client>);

impl Callers {
    pub(crate) async fn connect(address: &str) -> Self {
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            clients.push(Client::connect(address).await.unwrap());
        }
        Self(clients)
    }

    /// So many runs a second, whether or not those before are done.
    pub(crate) async fn at_rate(&self, rate: u32, span: Duration, pace_ms: u64) -> Vec<Outcome> {
        let mut ticks = interval(Duration::from_secs(1) / rate);
        let mut runs = Vec::new();
        let began = Instant::now();
        while began.elapsed() < span {
            ticks.tick().await;
            runs.push(tokio::spawn(run(self.client(runs.len()), pace_ms)));
        }
        join_all(runs).await.into_iter().map(|run| run.unwrap().unwrap()).collect()
    }

    /// All of them now; and what `look` says while they are in flight.
    pub(crate) async fn at_once<T>(&self, runs: usize, pace_ms: u64, look: impl FnOnce() -> T) -> (Vec<Outcome>, T) {
        let runs: Vec<_> = (0..runs).map(|at| tokio::spawn(run(self.client(at), pace_ms))).collect();
        // In the middle of the second stage.
        sleep(Duration::from_millis(pace_ms) * DELTAS * 3 / 2).await;
        let seen = look();
        let outcomes = join_all(runs).await.into_iter().map(|run| run.unwrap().unwrap()).collect();
        (outcomes, seen)
    }

    /// Fills the aggregator, and then asks more of it.
    pub(crate) async fn beyond_the_limit(&self, limit: usize, beyond: usize, pace_ms: u64) -> Storm {
        let accepted: Vec<_> = (0..limit).map(|at| tokio::spawn(run(self.client(at), pace_ms))).collect();
        // In the middle of the first stage.
        sleep(Duration::from_millis(pace_ms) * DELTAS / 2).await;
        let mut refusals = Vec::new();
        for at in 0..beyond {
            let began = Instant::now();
            match run(self.client(at), pace_ms).await {
                Err(error) if error.code == ErrorCode::Overloaded && error.retry_after.is_some() => {
                    refusals.push(began.elapsed());
                }
                Err(error) => panic!("refused for another reason: {error}"),
                Ok(_) => panic!("let in beyond the limit"),
            }
        }
        let accepted = join_all(accepted).await.into_iter().map(|run| run.unwrap().unwrap()).collect();
        Storm { accepted, refusals }
    }

    fn client(&self, at: usize) -> Client {
        self.0[at % self.0.len()].clone()
    }
}

async fn run(mut client: Client, pace_ms: u64) -> Result<Outcome, Error> {
    let began = Instant::now();
    let mut events = client.ask(Question::new(format!("Why? {PACE}{pace_ms}"))).await?;
    let (mut finished, mut failed) = (0, 0);
    while let Some(event) = events.next().await {
        match event? {
            Event::RunFinished(_) => finished += 1,
            Event::RunFailed(_) => failed += 1,
            _ => {}
        }
    }
    Ok(Outcome { finished, failed, total: began.elapsed(), pace: Duration::from_millis(pace_ms) })
}
