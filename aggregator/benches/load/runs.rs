//! Callers, and what they see.

use std::time::{Duration, Instant};

use futures::{StreamExt, future::join_all};
use serde_json::json;
use synod_aggregator::{Client, Error, ErrorCode, Question, events::Event};
use tokio::{
    task::{JoinHandle, block_in_place},
    time::{interval, sleep, sleep_until},
};

use crate::nodes::{DELTAS, PACE};

/// Over which many callers come: nobody's thousand callers come in one instant.
pub(crate) const ARRIVAL: Duration = Duration::from_secs(1);

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

pub(crate) struct Callers(Vec<Caller>);

#[derive(Clone)]
enum Caller {
    Grpc(Client),
    Http(reqwest::Client, String),
}

impl Callers {
    pub(crate) async fn over_grpc(address: &str) -> Self {
        let mut callers = Vec::new();
        for _ in 0..CONNECTIONS {
            callers.push(Caller::Grpc(Client::connect(address).await.unwrap()));
        }
        Self(callers)
    }

    pub(crate) fn over_http(address: &str) -> Self {
        // reqwest wants one even where nothing is encrypted; it may be there already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build().unwrap();
        Self(vec![Caller::Http(client, format!("http://{address}/v1/chat/completions"))])
    }

    /// So many runs a second, whether or not those before are done.
    pub(crate) async fn at_rate(&self, rate: u32, span: Duration, pace: Duration) -> Vec<Outcome> {
        let mut ticks = interval(Duration::from_secs(1) / rate);
        let mut runs = Vec::new();
        let began = Instant::now();
        while began.elapsed() < span {
            ticks.tick().await;
            runs.push(tokio::spawn(run(self.caller(runs.len()), spread(pace, runs.len()))));
        }
        all(runs).await
    }

    /// So many who ask one question after the other, each so often.
    pub(crate) async fn in_turn(&self, callers: usize, each: usize, pace: Duration) -> Vec<Outcome> {
        let began = Instant::now();
        let asking = (0..callers).map(|at| {
            let caller = self.caller(at);
            tokio::spawn(async move {
                sleep_until((began + place(at, callers, ARRIVAL)).into()).await;
                let mut outcomes = Vec::new();
                for _ in 0..each {
                    outcomes.push(run(caller.clone(), spread(pace, at)).await.unwrap());
                }
                outcomes
            })
        });
        join_all(asking.collect::<Vec<_>>()).await.into_iter().flat_map(Result::unwrap).collect()
    }

    /// So many that all are in flight together; and what `look` says some time after all are begun, which keeps this thread.
    pub(crate) async fn together<T>(
        &self,
        runs: usize,
        pace: Duration,
        after: Duration,
        look: impl FnOnce() -> T,
    ) -> (Vec<Outcome>, T) {
        let runs = self.arrive(runs, pace).await;
        sleep(after).await;
        let seen = block_in_place(look);
        (all(runs).await, seen)
    }

    /// Begins runs one after the other, each a little faster or slower than the others.
    async fn arrive(&self, runs: usize, pace: Duration) -> Vec<JoinHandle<Result<Outcome, Error>>> {
        let began = Instant::now();
        let mut begun = Vec::new();
        for at in 0..runs {
            sleep_until((began + place(at, runs, ARRIVAL)).into()).await;
            begun.push(tokio::spawn(run(self.caller(at), spread(pace, at))));
        }
        begun
    }

    /// How long each of so many callers, who come within a span, waits for the word that there is no room; in milliseconds.
    pub(crate) async fn refusals(&self, callers: usize, span: Duration) -> Vec<f64> {
        let began = Instant::now();
        let asking = (0..callers).map(|at| {
            let caller = self.caller(at);
            tokio::spawn(async move {
                sleep_until((began + place(at, callers, span)).into()).await;
                let asked = Instant::now();
                match run(caller, Duration::from_millis(1)).await {
                    Err(error) if error.code == ErrorCode::Overloaded && error.retry_after.is_some() => {
                        asked.elapsed().as_secs_f64() * 1e3
                    }
                    Err(error) => panic!("refused for another reason: {error}"),
                    Ok(_) => panic!("let in beyond the limit"),
                }
            })
        });
        join_all(asking.collect::<Vec<_>>()).await.into_iter().map(Result::unwrap).collect()
    }

    fn caller(&self, at: usize) -> Caller {
        self.0[at % self.0.len()].clone()
    }
}

async fn all(runs: Vec<JoinHandle<Result<Outcome, Error>>>) -> Vec<Outcome> {
    join_all(runs).await.into_iter().map(|run| run.unwrap().unwrap()).collect()
}

/// When one of so many comes, within a span.
fn place(at: usize, of: usize, span: Duration) -> Duration {
    span.mul_f64(at as f64 / of as f64)
}

/// A tenth faster to a tenth slower: runs that begin together would else write together to their end.
fn spread(pace: Duration, at: usize) -> Duration {
    pace.mul_f64(0.9 + 0.2 * (at * 37 % 100) as f64 / 100.0)
}

async fn run(caller: Caller, pace: Duration) -> Result<Outcome, Error> {
    let (began, question) = (Instant::now(), format!("Why? {PACE}{}", pace.as_micros()));
    let (finished, failed) = match caller {
        Caller::Grpc(client) => over_grpc(client, question).await?,
        Caller::Http(client, url) => over_http(&client, &url, &question).await,
    };
    Ok(Outcome { finished, failed, total: began.elapsed(), pace })
}

async fn over_grpc(mut client: Client, question: String) -> Result<(usize, usize), Error> {
    let mut events = client.ask(Question::new(question)).await?;
    let (mut finished, mut failed) = (0, 0);
    while let Some(event) = events.next().await {
        match event? {
            Event::RunFinished(_) => finished += 1,
            Event::RunFailed(_) => failed += 1,
            _ => {}
        }
    }
    Ok((finished, failed))
}

async fn over_http(client: &reqwest::Client, url: &str, question: &str) -> (usize, usize) {
    let messages = json!([{ "role": "user", "content": question }]);
    let request = json!({ "model": "mixture", "stream": true, "messages": messages });
    let response = client.post(url).json(&request).send().await.unwrap();
    let text = response.error_for_status().unwrap().text().await.unwrap();
    (text.matches("data: [DONE]").count(), text.matches("\"error\"").count())
}
