//! The nodes of the pool, as runs see them.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt};
use synod_telemetry::{names::attribute, spans};
use tokio::time::{Instant, timeout_at};
use tonic::transport::Channel;
use tracing::Instrument;

use super::{
    ApiRequest, Call, Embedded, EventStream, MemberEvent, Nodes, Picked, Proposed, Wanted, choice::Host, client,
};
use crate::{
    discovery::{Entry, NodeState, Pool},
    error::{Error, ErrorCode},
};

#[async_trait]
impl Nodes for Pool {
    fn pick(&self, wanted: &Wanted<'_>, tried: &[Arc<str>]) -> Result<Picked, Error> {
        let entries = self.entries();
        let hosting: Vec<&Arc<Entry>> = entries.iter().filter(|entry| entry.hosts(wanted.model)).collect();
        let host = |entry: &&Arc<Entry>| Host {
            address: entry.address().into(),
            load: entry.load(wanted.model),
            tried: !tried.is_empty() && tried.contains(&entry.label(&entries)),
        };
        let hosts: Vec<Host> = hosting.iter().map(host).collect();
        let taken = self.chooser().take(&hosts, wanted).and_then(|(at, lease)| Some((hosting.get(at)?, lease)));
        let (chosen, lease) = taken.ok_or_else(|| nobody(wanted.model, &entries))?;
        Ok(Picked { node: chosen.label(&entries), lease })
    }

    async fn generate(&self, picked: &Picked, call: &Call) -> Result<EventStream, Error> {
        let (entry, channel) = self.way_to(picked)?;
        let events = client::generate(channel, call, self.limits()).await.inspect_err(|error| doubt(&entry, error))?;
        let load = entry.load(&call.model);
        let count = move |event: &MemberEvent| {
            if let MemberEvent::Delta { tokens, .. } = event {
                load.wrote(*tokens);
            }
        };
        Ok(events.inspect_ok(count).inspect_err(move |error| doubt(&entry, error)).boxed())
    }

    async fn embed(&self, model: &str, texts: &[String], deadline: Instant) -> Result<Embedded, Error> {
        let entries = self.entries();
        let mut last = nobody(model, &entries);
        for entry in entries.iter().filter(|entry| entry.embeds(model)) {
            let Some(channel) = entry.channel() else { continue };
            let span = spans::embedding_call(model, &entry.label(&entries));
            let asked = client::embed(channel, model, texts, deadline, self.limits()).instrument(span.clone());
            match timeout_at(deadline, asked).await {
                Ok(Ok(embedded)) => {
                    spans::set(&span, attribute::INPUT_TOKENS, i64::from(embedded.prompt_tokens));
                    return Ok(embedded);
                }
                Ok(Err(error)) => {
                    spans::failed(&span, error.code.name());
                    doubt(entry, &error);
                    last = error;
                }
                Err(_) => return Err(Error::new(ErrorCode::DeadlineExceeded, "it was not done by its deadline")),
            }
        }
        Err(last)
    }

    async fn propose(&self, picked: &Picked, request: &ApiRequest) -> Result<Proposed, Error> {
        let (entry, channel) = self.way_to(picked)?;
        client::propose(channel, request, self.limits()).await.inspect_err(|error| doubt(&entry, error))
    }

    fn may_retry(&self) -> bool {
        self.chooser().budget.withdraw()
    }

    fn hedge_after(&self, model: &str) -> Option<Duration> {
        self.chooser().hedge_after(model)
    }

    async fn back(&self, model: &str) -> bool {
        Self::back(self, model).await
    }

    fn avoided(&self, model: &str) -> Vec<String> {
        self.ejected(model)
    }

    async fn settled(&self) {
        self.first_look().await;
    }
}

impl Pool {
    /// The node chosen, if it is still there.
    fn way_to(&self, picked: &Picked) -> Result<(Arc<Entry>, Channel), Error> {
        let entry = self.entry(picked.lease.address());
        let way = entry.and_then(|entry| entry.channel().map(|channel| (entry, channel)));
        way.ok_or_else(|| Error::new(ErrorCode::Unavailable, "it left while the call was being made"))
    }

    /// The nodes that calls for a model avoid because they failed there, by address. Each gets a probe now and then.
    pub fn ejected(&self, model: &str) -> Vec<String> {
        let entries = self.entries();
        let host = |entry: &Arc<Entry>| Host { address: entry.address().into(), load: entry.load(model), tried: false };
        let hosts: Vec<Host> = entries.iter().filter(|entry| entry.hosts(model)).map(host).collect();
        let out = self.chooser().ejected(&hosts);
        hosts.iter().zip(out).filter(|(_, out)| *out).map(|(host, _)| host.address.to_string()).collect()
    }
}

/// Whether a node that failed one call is gone for everyone is for the next look to say, and that should be now.
fn doubt(entry: &Entry, error: &Error) {
    if matches!(error.code, ErrorCode::Unavailable | ErrorCode::MemberFailed) {
        entry.look_again();
    }
}

/// Why nobody can answer, node by node.
fn nobody(model: &str, entries: &[Arc<Entry>]) -> Error {
    if entries.is_empty() {
        return Error::new(ErrorCode::Unavailable, format!("no node for {model}: no nodes are configured"));
    }
    let ready = entries.iter().any(|entry| entry.status().state == NodeState::Ready);
    let line = |entry: &Arc<Entry>| {
        let status = entry.status();
        match status.state {
            NodeState::Ready => format!("{} hosts {}", entry.label(entries), list(&status.models)),
            NodeState::Draining => format!("{} is draining", entry.label(entries)),
            NodeState::Unreachable => format!("{} is unreachable ({})", entry.label(entries), status.error),
        }
    };
    let lines: Vec<String> = entries.iter().map(line).collect();
    let (code, what) = if ready {
        (ErrorCode::ModelNotHosted, "no ready node hosts")
    } else {
        (ErrorCode::Unavailable, "no node is reachable for")
    };
    Error::new(code, format!("{what} {model}: {}", lines.join("; ")))
}

fn list(models: &[crate::discovery::Hosted]) -> String {
    let names: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}
