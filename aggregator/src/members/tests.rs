//! A seat's policy over nodes out of a script, under tokio's paused clock.

use std::{collections::BTreeMap, sync::Mutex};

use async_trait::async_trait;
use futures::{StreamExt, stream};
use tokio::time::sleep;

use super::*;
use crate::{
    error::ErrorCode,
    limits::Limits,
    prompts::{Part, Speaker},
};

/// A question to a model.
pub(super) fn call(model: &str, text: &str) -> Call {
    Call {
        model: model.to_owned(),
        messages: vec![Message { speaker: Speaker::User, content: String::new() }],
        parts: Parts::whole(vec![Part::Text(text.to_owned())]),
        quoted_parts: 0,
        grammar: None,
        ignore_end: false,
        top_logprobs: 0,
        sampling: Sampling::default(),
        run_id: "run".to_owned(),
        at: At::default(),
        record: false,
        deadline: Instant::now() + Duration::from_secs(60),
    }
}

/// What a node does whenever it is asked.
#[derive(Clone)]
enum Act {
    /// Writes its name after so many milliseconds.
    Say(u64),
    SayNothing,
    Refuse(ErrorCode, u64),
}

/// Nodes in order of preference.
struct Script {
    chooser: Chooser,
    acts: BTreeMap<&'static str, Act>,
    loads: BTreeMap<&'static str, Arc<Load>>,
    asked: Mutex<Vec<String>>,
    hedge: Option<Duration>,
}

impl Script {
    fn new<const N: usize>(acts: [(&'static str, Act); N]) -> Self {
        Self::with_limits(acts, &Limits::standard())
    }

    fn with_limits<const N: usize>(acts: [(&'static str, Act); N], limits: &Limits) -> Self {
        let loads = acts.iter().map(|(name, _)| (*name, Arc::new(Load::new(Rules::from(limits))))).collect();
        let chooser = Chooser::new(limits, 0);
        Self { chooser, acts: acts.into(), loads, asked: Mutex::default(), hedge: None }
    }

    async fn answer(&self) -> Result<Answered, Lost> {
        let policy = Policy {
            attempts: 3,
            first_token: Duration::from_secs(10),
            idle: Duration::from_secs(10),
            max_bytes: 1000,
        };
        answer(self, &call("m", "Why?"), &policy, &Silent).await
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

struct Silent;

impl Watch for Silent {
    fn started(&self, _: &str) {}
    fn accepted(&self, _: u32, _: &[Cut]) {}
    fn delta(&self, _: &str, _: u32) {}
}

fn finished() -> MemberEvent {
    MemberEvent::Finished {
        finish_reason: FinishReason::Stop,
        usage: Usage::default(),
        mean_logprob: 0.0,
        margin: None,
        spent: Times::default(),
    }
}

#[async_trait]
impl Nodes for Script {
    fn pick(&self, wanted: &Wanted<'_>, tried: &[Arc<str>]) -> Result<Picked, Error> {
        let host = |(name, load): (&&'static str, &Arc<Load>)| choice::Host {
            address: (*name).into(),
            load: Arc::clone(load),
            tried: tried.iter().any(|tried| **tried == **name),
        };
        let hosts: Vec<_> = self.loads.iter().map(host).collect();
        let (at, lease) = self.chooser.take(&hosts, wanted).unwrap();
        Ok(Picked { node: Arc::clone(&hosts[at].address), lease })
    }

    async fn generate(&self, picked: &Picked, _: &Call) -> Result<EventStream, Error> {
        self.asked.lock().unwrap().push(picked.node.to_string());
        let name = picked.node.to_string();
        match self.acts[&*picked.node].clone() {
            Act::Refuse(code, ms) => {
                Err(Error { retry_after: Some(Duration::from_millis(ms)), ..Error::new(code, "refused") })
            }
            Act::Say(ms) => {
                let delta = MemberEvent::Delta { text: name, tokens: 1, written: Vec::new(), logprobs: Vec::new() };
                let events = stream::iter([Ok(delta), Ok(finished())]);
                Ok(stream::once(sleep(Duration::from_millis(ms))).flat_map(move |()| events.clone()).boxed())
            }
            Act::SayNothing => Ok(stream::iter([Ok(finished())]).boxed()),
        }
    }

    fn may_retry(&self) -> bool {
        self.chooser.budget.withdraw()
    }

    fn hedge_after(&self, model: &str) -> Option<Duration> {
        self.hedge.or_else(|| self.chooser.hedge_after(model))
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_late_gets_a_rival_and_the_first_to_write_is_the_one() {
    let script =
        Script { hedge: Some(Duration::from_secs(1)), ..Script::new([("a", Act::Say(5000)), ("b", Act::Say(300))]) };
    let answered = script.answer().await.unwrap();
    assert_eq!((answered.text.as_str(), answered.total), ("b", Duration::from_millis(1300)));
    assert_eq!(script.asked(), ["a", "b"]);
    let in_flight: Vec<usize> = script.loads.values().map(|load| load.lock().in_flight).collect();
    assert_eq!(in_flight, [0, 0], "the other is dropped");
}

#[tokio::test(start_paused = true)]
async fn a_rival_that_fails_or_is_slower_changes_nothing() {
    for rival in [Act::Refuse(ErrorCode::Unavailable, 0), Act::Say(5000)] {
        let script =
            Script { hedge: Some(Duration::from_secs(1)), ..Script::new([("a", Act::Say(2000)), ("b", rival)]) };
        let answered = script.answer().await.unwrap();
        assert_eq!((answered.text.as_str(), answered.total), ("a", Duration::from_secs(2)));
        assert_eq!(script.asked(), ["a", "b"]);
    }
}

#[tokio::test(start_paused = true)]
async fn where_nobody_else_hosts_the_model_there_is_no_rival() {
    let script = Script { hedge: Some(Duration::from_secs(1)), ..Script::new([("a", Act::Say(5000))]) };
    assert_eq!(script.answer().await.unwrap().total, Duration::from_secs(5));
    assert_eq!(script.asked(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn the_delay_is_measured_and_has_a_least() {
    let limits = Limits { hedge_min: Duration::from_millis(500), ..Limits::standard() };
    let script = Script::with_limits([("a", Act::Say(100)), ("b", Act::Say(100))], &limits);
    assert_eq!(script.hedge_after("m"), None);
    for _ in 0..20 {
        script.answer().await.unwrap();
    }
    assert_eq!(script.hedge_after("m"), Some(Duration::from_millis(500)));
    let slow = Script::with_limits([("a", Act::Say(2000)), ("b", Act::Say(2000))], &limits);
    for _ in 0..20 {
        slow.answer().await.unwrap();
    }
    assert_eq!(slow.hedge_after("m"), Some(Duration::from_secs(2)));
}

#[tokio::test(start_paused = true)]
async fn a_full_node_is_load_and_the_call_goes_elsewhere() {
    let script = Script::new([("a", Act::Refuse(ErrorCode::Overloaded, 30_000)), ("b", Act::Say(0))]);
    for _ in 0..20 {
        assert_eq!(script.answer().await.unwrap().text, "b");
    }
    assert_eq!(script.asked()[..2], ["a", "b"]);
    assert_eq!(script.asked().iter().filter(|node| *node == "a").count(), 0, "it said when it has room");
    assert!(script.loads["a"].open_since().is_none());
}

#[tokio::test(start_paused = true)]
async fn failures_eject_a_node_so_that_calls_go_elsewhere_at_once() {
    let script = Script::new([("a", Act::Refuse(ErrorCode::MemberFailed, 0)), ("b", Act::Say(0))]);
    for _ in 0..100 {
        assert_eq!(script.answer().await.unwrap().text, "b");
        sleep(Duration::from_secs(11)).await;
    }
    let asked = script.asked();
    let at_a = asked.iter().filter(|node| *node == "a").count();
    // Five to open, then a probe each 30, 60, … up to 300 seconds.
    assert!((5..20).contains(&at_a), "{at_a} of {}", asked.len());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_says_nothing_is_not_taken_for_a_fast_one() {
    let script = Script::new([("a", Act::SayNothing), ("b", Act::Say(2000))]);
    let mut texts = Vec::new();
    for _ in 0..20 {
        texts.push(script.answer().await.unwrap().text);
    }
    assert!(texts.iter().filter(|text| text.is_empty()).count() <= 5, "{texts:?}");
}

#[tokio::test(start_paused = true)]
async fn where_everything_fails_retries_stay_within_their_budget() {
    let limits = Limits { retry_share: 0.2, retries_per_second: 0, ..Limits::standard() };
    let failing = || Act::Refuse(ErrorCode::Unavailable, 0);
    let script = Script::with_limits([("a", failing()), ("b", failing()), ("c", failing())], &limits);
    let mut messages = Vec::new();
    for _ in 0..100 {
        messages.push(script.answer().await.unwrap_err().error.message);
    }
    assert_eq!(script.asked().len(), 120);
    assert!(messages.iter().any(|message| message.contains("too many calls are retries")), "{messages:?}");
}
