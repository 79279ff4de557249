//! Nodes out of a script, for tests: no network, and tokio's paused clock for time.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures::{StreamExt, stream};
use tokio::time::{Instant, sleep};

use crate::{
    error::{Error, ErrorCode},
    members::{
        Advised, ApiRequest, Call, Cut, Embedded, EventStream, Exchange, Lease, Made, MemberEvent, Nodes, Picked,
        Proposed, Usage, Wanted,
    },
    prompts::Part,
    records::Times,
    stages::FinishReason,
};

/// What a node does when it is asked.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Writes this after a while.
    Say(Duration, String),
    /// Writes this, with a pause before each word.
    Write(Duration, String),
    /// Says that its second quoted part was cut, then writes this.
    SayOfCut(String),
    /// Writes what a function makes of the call.
    Reply(fn(&Call) -> String),
    /// Refuses the call.
    Refuse(ErrorCode, &'static str),
    /// Writes this, then breaks off.
    BreakOff(String),
    /// Is stopped from the node's side, with what it had.
    Stopped,
    /// Never says anything.
    Hang,
    /// Proposes this call of an API, or finds none that fits.
    Propose(Option<&'static str>),
    /// Calls what most would, and gets this back, or why there is nothing.
    Call(Result<&'static str, &'static str>),
    /// Writes for ever.
    Babble,
    /// Writes this, then events without text for ever, as fast as they are read.
    Flood(String),
}

/// Shorthand for an answer that comes at once.
pub(crate) fn say(text: &str) -> Act {
    Act::Say(Duration::ZERO, text.to_owned())
}

#[derive(Default)]
pub(crate) struct FakeNodes {
    /// Nodes in order of preference, with what they host.
    nodes: Vec<(Arc<str>, Vec<String>)>,
    /// What each node does with each model: in order, the last for ever.
    acts: Mutex<BTreeMap<(String, String), Vec<Act>>>,
    /// What was asked for a call of an API.
    pub(crate) api_requests: Mutex<Vec<ApiRequest>>,
    /// Every call made, with its node.
    pub(crate) calls: Mutex<Vec<(String, Call)>>,
    /// Streams that are open now.
    pub(crate) open: Arc<AtomicUsize>,
}

impl FakeNodes {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A node with what it does for a model.
    pub(crate) fn node(mut self, node: &str, model: &str, acts: impl IntoIterator<Item = Act>) -> Self {
        match self.nodes.iter_mut().find(|(known, _)| &**known == node) {
            Some((_, models)) => models.push(model.to_owned()),
            None => self.nodes.push((node.into(), vec![model.to_owned()])),
        }
        let acts: Vec<Act> = acts.into_iter().collect();
        self.acts.lock().unwrap().insert((node.to_owned(), model.to_owned()), acts);
        self
    }

    /// The nodes asked, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.calls.lock().unwrap().iter().map(|(node, _)| node.clone()).collect()
    }

    /// The drafts in the prompt of the last call for a model.
    pub(crate) fn quoted(&self, model: &str) -> Vec<String> {
        let mut quoted = Vec::new();
        let mut open = false;
        for part in self.last_parts(model) {
            if let Part::Quoted { text, more, .. } = part {
                match quoted.last_mut() {
                    Some(last) if open => *last += text.as_str(),
                    _ => quoted.push(text),
                }
                open = more;
            }
        }
        quoted
    }

    /// The last message of the last call for a model, in one piece.
    pub(crate) fn prompt(&self, model: &str) -> String {
        let text = |part| match part {
            Part::Text(text) | Part::Quoted { text, .. } => text,
        };
        self.last_parts(model).into_iter().map(text).collect()
    }

    /// How many parts that message had.
    pub(crate) fn parts_of(&self, model: &str) -> usize {
        self.last_parts(model).len()
    }

    fn next_act(&self, picked: &Picked, model: &str) -> Act {
        let mut acts = self.acts.lock().unwrap();
        let acts = acts.get_mut(&(picked.node.to_string(), model.to_owned())).unwrap();
        if acts.len() > 1 { acts.remove(0) } else { acts[0].clone() }
    }

    fn last_parts(&self, model: &str) -> Vec<Part> {
        let calls = self.calls.lock().unwrap();
        calls.iter().rev().find(|(_, call)| call.model == model).unwrap().1.parts.so_far()
    }
}

#[async_trait]
impl Nodes for FakeNodes {
    fn pick(&self, wanted: &Wanted<'_>, tried: &[Arc<str>]) -> Result<Picked, Error> {
        let model = wanted.model;
        let hosting = self.nodes.iter().filter(|(_, models)| models.iter().any(|hosted| hosted == model));
        let chosen = hosting.min_by_key(|(node, _)| tried.iter().filter(|tried| *tried == node).count());
        let nobody = || Error::new(ErrorCode::Unavailable, format!("no node is reachable for {model}: tried all"));
        let (node, _) = chosen.ok_or_else(nobody)?;
        Ok(Picked { node: Arc::clone(node), lease: Lease::uncounted() })
    }

    async fn embed(&self, _: &str, texts: &[String], _: Instant) -> Result<Embedded, Error> {
        // By length: texts as long are alike.
        let vectors = texts.iter().map(|text| vec![text.len() as f32, 10.0]).collect();
        Ok(Embedded { vectors, ..Embedded::default() })
    }

    async fn propose(&self, picked: &Picked, request: &ApiRequest) -> Result<Proposed, Error> {
        self.api_requests.lock().unwrap().push(request.clone());
        let (mut made, mut votes) = (Vec::new(), (1, 1));
        let text = match self.next_act(picked, &request.model) {
            Act::Propose(text) => text.map(str::to_owned),
            Act::Call(said) => {
                assert!(request.execute, "nothing was to be carried out");
                votes.1 += u32::try_from(request.advice.len()).unwrap();
                let said = said.map(|said| ("200 OK".to_owned(), said.to_owned())).map_err(str::to_owned);
                made.push(Made { api: "delete_note".to_owned(), said });
                Some(format!("made: {:?}", made[0].said))
            }
            Act::Refuse(code, why) => return Err(Error::new(code, why)),
            other => panic!("{other:?} proposes no call"),
        };
        let usage = Usage { prompt_tokens: 10, completion_tokens: 5, cached_prompt_tokens: 0 };
        let exchange = |purpose: &str, text: &str| Exchange {
            purpose: purpose.to_owned(),
            given: None,
            schema: String::new(),
            text: text.to_owned(),
            tokens: Vec::new(),
            usage,
            took: Duration::from_millis(20),
        };
        let exchanges = [exchange("whether it fits", ""), exchange("a call", text.as_deref().unwrap_or_default())];
        let exchanges = if request.record { exchanges.to_vec() } else { Vec::new() };
        let advised = |text: &String| Advised { api: text.clone(), arguments_json: "{}".to_owned() };
        let advice = text.as_ref().map(advised).unwrap_or_default();
        let (outvoted, confidence, took) = (false, 0.5, Duration::ZERO);
        Ok(Proposed { text, advice, made, votes, outvoted, usage, confidence, took, exchanges })
    }

    async fn generate(&self, picked: &Picked, call: &Call) -> Result<EventStream, Error> {
        self.calls.lock().unwrap().push((picked.node.to_string(), call.clone()));
        let act = self.next_act(picked, &call.model);
        let guard = Open::new(&self.open);
        let events = match act {
            Act::Refuse(code, why) => return Err(Error::new(code, why)),
            Act::Propose(_) | Act::Call(_) => panic!("nobody asked for a call of an API"),
            Act::Hang => stream::pending().boxed(),
            Act::Reply(reply) => spoken(&reply(call), &[]).boxed(),
            Act::Say(pause, text) => stream::once(sleep(pause)).flat_map(move |()| spoken(&text, &[])).boxed(),
            Act::Write(pause, text) => spoken(&text, &[])
                .then(move |event| async move {
                    sleep(pause).await;
                    event
                })
                .boxed(),
            Act::SayOfCut(text) => spoken(&text, &[Cut { quoted_index: 1, tokens_kept: 3, tokens_cut: 7 }]).boxed(),
            Act::BreakOff(text) => {
                let broken = Error::new(ErrorCode::MemberFailed, "connection reset");
                stream::iter([Ok(delta(&text)), Err(broken)]).boxed()
            }
            Act::Stopped => {
                let (finish_reason, usage) = (FinishReason::Cancelled, Usage::default());
                stream::iter([Ok(finished(finish_reason, usage, 0.0))]).boxed()
            }
            Act::Flood(text) => {
                let nothing =
                    MemberEvent::Delta { text: String::new(), tokens: 0, written: Vec::new(), logprobs: Vec::new() };
                stream::iter([Ok(delta(&text))]).chain(stream::repeat(Ok(nothing))).boxed()
            }
            Act::Babble => stream::unfold((), |()| async {
                sleep(Duration::from_millis(100)).await;
                Some((Ok(delta("blah ")), ()))
            })
            .boxed(),
        };
        let parts = call.parts.clone();
        let read = stream::once(async move { parts.completed().await }).flat_map(|()| stream::empty());
        Ok(read.chain(events).inspect(move |_| guard.touch()).boxed())
    }
}

fn delta(text: &str) -> MemberEvent {
    MemberEvent::Delta { text: text.to_owned(), tokens: 1, written: vec![(7, -0.5)], logprobs: Vec::new() }
}

fn finished(finish_reason: FinishReason, usage: Usage, mean_logprob: f64) -> MemberEvent {
    MemberEvent::Finished { finish_reason, usage, mean_logprob, margin: None, spent: Times::default() }
}

/// An answer word by word.
fn spoken(text: &str, cuts: &[Cut]) -> impl futures::Stream<Item = Result<MemberEvent, Error>> + use<> {
    let words: Vec<MemberEvent> = text.split_inclusive(' ').map(delta).collect();
    let completion_tokens = u32::try_from(words.len()).unwrap();
    let usage = Usage { prompt_tokens: 10, completion_tokens, cached_prompt_tokens: 0 };
    let accepted = MemberEvent::Accepted { prompt_tokens: 10, cuts: cuts.to_vec(), given: None };
    let finished = finished(FinishReason::Stop, usage, -0.5);
    stream::iter(std::iter::once(accepted).chain(words).chain([finished]).map(Ok))
}

/// Counts an open stream until it is dropped.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }

    /// Keeps the guard in the closure that owns it.
    fn touch(&self) {}
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
