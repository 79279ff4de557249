//! Nodes that registered themselves in etcd: a key each under a prefix, whose value is an address.
//!
//! A list at some revision, then a watch from the next one on. Whatever ends the watch (a lost connection, a member
//! without a leader, a compaction) leads back to a list.

use std::{collections::BTreeMap, time::Duration};

use etcd_client::{
    Certificate, Client, ConnectOptions, Error, EventType, GetOptions, Identity, KeyValue, TlsOptions, WatchOptions,
    WatchResponse, WatchStream,
};
use futures::{StreamExt, stream, stream::BoxStream};
use synod_tls::TlsFiles;
use tokio::time::timeout;

use super::{Discovery, Update, changes::Changes, pauses::Pauses};

/// How long one call may take before the next member is tried.
const CALL: Duration = Duration::from_secs(3);
/// etcd takes more than one ping in five seconds for an attack.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// The list is read anew this often, though nothing seems lost: some versions of etcd lose events of a watch.
const RELIST: Duration = Duration::from_secs(300);
/// The longest pause between two tries to reach etcd.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Where the registrations are.
#[derive(Debug, Clone)]
pub struct Etcd {
    /// Members of etcd, as URLs. One is asked at a time, the next when it fails.
    pub endpoints: Vec<String>,
    /// What the keys begin with: `/synod/nodes/`.
    pub prefix: String,
    /// For members behind `https`.
    pub tls: Option<TlsFiles>,
}

struct State {
    source: Etcd,
    /// Which member is asked.
    turn: usize,
    watch: Option<WatchStream>,
    nodes: BTreeMap<Vec<u8>, String>,
    changes: Changes,
    pauses: Pauses,
}

impl Discovery for Etcd {
    fn updates(self: Box<Self>) -> BoxStream<'static, Update> {
        let state = State {
            source: *self,
            turn: 0,
            watch: None,
            nodes: BTreeMap::new(),
            changes: Changes::default(),
            pauses: Pauses::up_to(LONGEST_PAUSE),
        };
        stream::unfold(state, |mut state| async move {
            loop {
                if let Some(update) = state.changes.next() {
                    return Some((update, state));
                }
                state.step().await;
            }
        })
        .boxed()
    }
}

impl State {
    /// Lists where nothing is watched, else waits for what the watch has to say.
    async fn step(&mut self) {
        let Some(watch) = &mut self.watch else { return self.begin().await };
        match timeout(RELIST, watch.message()).await {
            Ok(Ok(Some(response))) if !response.canceled() && response.compact_revision() == 0 => self.apply(&response),
            Ok(Ok(Some(response))) => self.lost(response.cancel_reason()),
            Ok(Ok(None)) => self.lost("it ended"),
            Ok(Err(error)) => self.lost(&error.to_string()),
            Err(_) => self.watch = None,
        }
    }

    fn lost(&mut self, reason: &str) {
        tracing::info!(reason, "lost the watch on etcd; listing again");
        self.watch = None;
    }

    async fn begin(&mut self) {
        match timeout(CALL, self.list()).await.unwrap_or_else(|_| Err(Error::EndpointError("no answer in time".into())))
        {
            Ok((nodes, watch)) => {
                (self.nodes, self.watch) = (nodes, Some(watch));
                self.say();
                self.pauses.reset();
            }
            Err(error) => {
                let endpoint = self.endpoint();
                tracing::warn!(endpoint, %error, "etcd does not answer; keeping the nodes it named");
                self.turn += 1;
                // Every member is tried before there is a pause.
                if self.turn.is_multiple_of(self.source.endpoints.len().max(1)) {
                    self.pauses.wait().await;
                }
            }
        }
    }

    fn endpoint(&self) -> String {
        let endpoints = &self.source.endpoints;
        endpoints.get(self.turn % endpoints.len().max(1)).cloned().unwrap_or_default()
    }

    async fn list(&self) -> Result<(BTreeMap<Vec<u8>, String>, WatchStream), Error> {
        let mut client = Client::connect([self.endpoint()], Some(options(self.source.tls.as_ref())?)).await?;
        let prefix = self.source.prefix.as_str();
        let listed = client.get(prefix, Some(GetOptions::new().with_prefix())).await?;
        let revision = listed.header().map_or(0, etcd_client::ResponseHeader::revision);
        let from_next = WatchOptions::new().with_prefix().with_start_revision(revision + 1);
        let watch = client.watch(prefix, Some(from_next)).await?;
        Ok((listed.kvs().iter().filter_map(node).collect(), watch))
    }

    fn apply(&mut self, response: &WatchResponse) {
        for event in response.events() {
            let Some(kv) = event.kv() else { continue };
            let put = (event.event_type() == EventType::Put).then(|| node(kv)).flatten();
            match put {
                Some((key, address)) => drop(self.nodes.insert(key, address)),
                None => drop(self.nodes.remove(kv.key())),
            }
        }
        self.say();
    }

    fn say(&mut self) {
        self.changes.set(self.nodes.values().cloned().collect());
    }
}

/// The registration in a key's value; a value that is no text is nobody's.
fn node(kv: &KeyValue) -> Option<(Vec<u8>, String)> {
    let address = kv.value_str().ok()?.trim();
    (!address.is_empty()).then(|| (kv.key().to_vec(), address.to_owned()))
}

fn options(tls: Option<&TlsFiles>) -> Result<ConnectOptions, Error> {
    let options = ConnectOptions::new()
        .with_connect_timeout(CALL)
        .with_keep_alive(KEEP_ALIVE, CALL)
        .with_keep_alive_while_idle(true)
        // A member that is cut off from the others ends the watch, instead of telling of a world that is past.
        .with_require_leader(true);
    let Some(files) = tls else { return Ok(options) };
    let (cert, key, ca) = (std::fs::read(&files.cert)?, std::fs::read(&files.key)?, std::fs::read(&files.ca)?);
    let tls = TlsOptions::new().ca_certificate(Certificate::from_pem(ca)).identity(Identity::from_pem(cert, key));
    Ok(options.with_tls(tls))
}
