//! A question asked, and what its caller saw.

use std::time::{Duration, Instant};

use futures::StreamExt;
use synod_aggregator::{Client, Error, Question, events::Event};
use tokio::time::timeout;

use crate::cell::DEADLINE;

/// What a run may take beyond its deadline until its caller knows how it ended.
const SLACK: Duration = Duration::from_millis(250);
/// A run that goes on for so long beyond its deadline hangs.
const HANG: Duration = Duration::from_secs(10);

/// All of a run, up to its end.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) events: Vec<Event>,
    pub(crate) error: Option<Error>,
    pub(crate) took: Duration,
    hangs: bool,
    after_the_error: usize,
}

/// Asks, and shows `meddle` each event as it comes.
pub(crate) async fn ask(aggregator: &str, question: &str, mut meddle: impl FnMut(&Event)) -> Seen {
    let mut client = Client::connect(aggregator).await.unwrap();
    let mut seen = Seen::default();
    let began = Instant::now();
    let running = async {
        let mut stream = match client.ask(Question::new(question)).await {
            Ok(stream) => stream,
            Err(error) => return seen.error = Some(error),
        };
        while let Some(next) = stream.next().await {
            seen.after_the_error += usize::from(seen.error.is_some());
            match next {
                Ok(event) => {
                    meddle(&event);
                    seen.events.push(event);
                }
                Err(error) => seen.error = Some(error),
            }
        }
    };
    seen.hangs = timeout(*DEADLINE + HANG, running).await.is_err();
    seen.took = began.elapsed();
    seen
}

impl Seen {
    /// What is wrong with how it ended: it must end once, in time, and with an error where it failed.
    pub(crate) fn wrong(&self) -> Vec<String> {
        if self.hangs {
            return vec![format!("it hangs after {:?}", self.events.last())];
        }
        let is_end = |event: &Event| matches!(event, Event::RunFinished(_) | Event::RunFailed(_));
        let ends = self.events.iter().filter(|event| is_end(event)).count();
        let has_failed = matches!(self.events.last(), Some(Event::RunFailed(_)));
        let ends_well = ends == 1 && self.events.last().is_some_and(is_end) && has_failed == self.error.is_some();
        let mut wrong = Vec::new();
        if !ends_well || self.after_the_error > 0 {
            wrong.push(format!("{ends} ends, error {:?}, {} after it", self.error, self.after_the_error));
        }
        if self.took > *DEADLINE + SLACK {
            wrong.push(format!("it took {:?} of {:?}", self.took, *DEADLINE));
        }
        wrong
    }
}
