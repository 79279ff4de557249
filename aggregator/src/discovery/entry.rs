//! One node: its connection, its load, and what the last look at it said.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};
use tonic::transport::Channel;

use super::Transport;
use crate::{
    limits::Limits,
    members::{Announced, Load, Rules},
};

/// The most models of one node; what it announces beyond them is not used.
const MAX_MODELS: usize = 256;

/// Whether a node is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeState {
    /// It answers.
    Ready,
    /// It doesn't, or hasn't been looked at.
    Unreachable,
    /// It finishes what it has and takes no more.
    Draining,
}

/// A model on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hosted {
    /// Its name.
    pub name: String,
    /// Whether it writes text; an embedding model doesn't.
    pub writes: bool,
    /// Tokens of prompt and answer together; of an embedding model, those it reads.
    pub context_length: u32,
}

/// What is known of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStatus {
    /// Whether it is used.
    pub state: NodeState,
    /// What it calls itself; empty before the first answer.
    pub id: String,
    /// What it hosts.
    pub models: Vec<Hosted>,
    /// Why it is not used, where it isn't.
    pub error: String,
    /// Whether it has been looked at.
    pub looked_at: bool,
    /// Since when it is not used, where it was once.
    pub(super) away_since: Option<Instant>,
}

/// A node that exists.
pub(crate) struct Entry {
    address: Arc<str>,
    channel: Option<Channel>,
    /// By model.
    loads: Mutex<BTreeMap<String, Arc<Load>>>,
    rules: Rules,
    status: Mutex<NodeStatus>,
    again: Notify,
}

impl Entry {
    /// Connects when it is first used. An address that cannot be used makes an entry that says so.
    pub(super) fn new(address: &str, transport: &Transport, limits: &Limits) -> Self {
        let channel = transport.channel(address, limits);
        let error = match &channel {
            Ok(_) => "not looked at yet".to_owned(),
            Err(error) => error.clone(),
        };
        let looked_at = channel.is_err();
        Self {
            address: address.into(),
            channel: channel.ok(),
            loads: Mutex::default(),
            rules: Rules::from(limits),
            status: Mutex::new(NodeStatus {
                state: NodeState::Unreachable,
                id: String::new(),
                models: Vec::new(),
                error,
                looked_at,
                away_since: None,
            }),
            again: Notify::new(),
        }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The name in events and messages: the node's own among these, with its address where another has the same.
    pub(crate) fn label(&self, among: &[Arc<Self>]) -> Arc<str> {
        let id = self.id();
        let same = |other: &&Arc<Self>| other.address != self.address && other.id() == id;
        match among.iter().find(same) {
            _ if id.is_empty() => Arc::clone(&self.address),
            Some(_) => format!("{id}@{}", self.address).into(),
            None => id.into(),
        }
    }

    fn id(&self) -> String {
        self.lock().id.clone()
    }

    pub(crate) fn channel(&self) -> Option<Channel> {
        self.channel.clone()
    }

    /// What is known of a model here.
    pub(crate) fn load(&self, model: &str) -> Arc<Load> {
        let mut loads = self.loads.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(load) = loads.get(model) {
            return Arc::clone(load);
        }
        let load = Arc::new(Load::new(self.rules));
        loads.insert(model.to_owned(), Arc::clone(&load));
        load
    }

    /// Our calls that are under way here.
    pub(super) fn in_flight(&self) -> usize {
        let loads = self.loads.lock().unwrap_or_else(PoisonError::into_inner);
        loads.values().map(|load| load.in_flight()).sum()
    }

    /// Takes what the node says of its models into account, and forgets those that it has no more.
    pub(super) fn announced(&self, models: &[(String, Announced)]) {
        let models = &models[..models.len().min(MAX_MODELS)];
        models.iter().for_each(|(model, announced)| self.load(model).announced(*announced));
        let mut loads = self.loads.lock().unwrap_or_else(PoisonError::into_inner);
        loads.retain(|model, _| models.iter().any(|(known, _)| known == model));
    }

    /// It is back, as another process perhaps.
    pub(super) fn restarted(&self) {
        let loads = self.loads.lock().unwrap_or_else(PoisonError::into_inner);
        loads.values().for_each(|load| load.restarted());
    }

    pub(crate) fn status(&self) -> NodeStatus {
        self.lock().clone()
    }

    pub(crate) fn hosts(&self, model: &str) -> bool {
        let status = self.lock();
        let hosted = status.models.iter().any(|hosted| hosted.writes && hosted.name == model);
        hosted && status.state == NodeState::Ready
    }

    /// Until when it is expected back, where it hosted the model and went away so short a time ago that it may be
    /// restarting.
    pub(super) fn expected_until(&self, model: &str, wait: Duration) -> Option<Instant> {
        let status = self.lock();
        let hosted = status.models.iter().any(|hosted| hosted.name == model);
        let until = status.away_since.map(|since| since + wait);
        until.filter(|until| hosted && status.state != NodeState::Ready && *until > Instant::now())
    }

    pub(crate) fn embeds(&self, model: &str) -> bool {
        let status = self.lock();
        let hosted = status.models.iter().any(|hosted| !hosted.writes && hosted.name == model);
        hosted && status.state == NodeState::Ready
    }

    /// Asks for a look before the next is due.
    pub(crate) fn look_again(&self) {
        self.again.notify_one();
    }

    pub(super) async fn asked_again(&self) {
        self.again.notified().await;
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut NodeStatus)) {
        let mut status = self.lock();
        let before = status.state;
        change(&mut status);
        status.looked_at = true;
        if status.state != before {
            status.away_since = (before == NodeState::Ready).then(Instant::now).or(status.away_since);
            let (state, error) = (status.state, &status.error);
            tracing::info!(node = %self.address, ?state, error, "node changed state");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, NodeStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
