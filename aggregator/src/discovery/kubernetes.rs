//! Nodes behind a Kubernetes Service, from its EndpointSlices: every ready pod, before any proxy.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, stream, stream::BoxStream};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kube::{
    Api, Client, ResourceExt,
    runtime::{WatchStreamExt, watcher, watcher::Event},
};

use super::{Discovery, Update, changes::Changes};

/// Where the nodes are.
pub struct Kubernetes {
    client: Client,
    namespace: Option<String>,
    selector: String,
    port: Option<String>,
}

/// There is no way to the API server.
#[derive(Debug, thiserror::Error)]
#[error("finding the Kubernetes API: neither a pod's service account nor a kubeconfig can be used")]
pub struct KubernetesError(#[source] Box<kube::Error>);

impl Kubernetes {
    /// The slices that `selector` names (`kubernetes.io/service-name=synod-nodes`) in `namespace` (the pod's own where
    /// there is none), and of their ports the one called `port` (the first where there is no name). Uses the pod's
    /// service account, or else the user's kubeconfig.
    ///
    /// # Errors
    /// There is neither.
    pub async fn connect(
        namespace: Option<String>,
        selector: String,
        port: Option<String>,
    ) -> Result<Self, KubernetesError> {
        let client = Client::try_default().await.map_err(|error| KubernetesError(Box::new(error)))?;
        Ok(Self::with_client(client, namespace, selector, port))
    }

    /// The same through a client of the caller's.
    pub fn with_client(client: Client, namespace: Option<String>, selector: String, port: Option<String>) -> Self {
        Self { client, namespace, selector, port }
    }

    fn addresses(&self, slice: &EndpointSlice) -> BTreeSet<String> {
        let ports = slice.ports.iter().flatten();
        let named = |name: &Option<String>| self.port.is_none() || *name == self.port;
        let port = ports.filter(|port| named(&port.name)).find_map(|port| port.port);
        let Some(port) = port else { return BTreeSet::new() };
        let is_ipv6 = slice.address_type == "IPv6";
        let address = |ip: &String| if is_ipv6 { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") };
        let endpoints = slice.endpoints.iter().flatten().filter(|endpoint| is_ready(endpoint));
        // All addresses of an endpoint are the same pod.
        endpoints.filter_map(|endpoint| endpoint.addresses.first().map(address)).collect()
    }
}

/// Unless it says otherwise: what the API's own documentation asks of its readers.
fn is_ready(endpoint: &Endpoint) -> bool {
    endpoint.conditions.as_ref().and_then(|conditions| conditions.ready) != Some(false)
}

struct State {
    source: Kubernetes,
    events: BoxStream<'static, Result<Event<EndpointSlice>, watcher::Error>>,
    slices: BTreeMap<String, BTreeSet<String>>,
    /// Those of a list that is not whole yet.
    listed: BTreeMap<String, BTreeSet<String>>,
    changes: Changes,
}

impl Discovery for Kubernetes {
    fn updates(self: Box<Self>) -> BoxStream<'static, Update> {
        let client = self.client.clone();
        let slices: Api<EndpointSlice> = match &self.namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::default_namespaced(client),
        };
        let config = watcher::Config::default().labels(&self.selector);
        // Lists again by itself after a lost watch or one that is too old.
        let events = watcher(slices, config).default_backoff().boxed();
        let (slices, listed) = (BTreeMap::new(), BTreeMap::new());
        let state = State { source: *self, events, slices, listed, changes: Changes::default() };
        stream::unfold(state, |mut state| async move {
            loop {
                if let Some(update) = state.changes.next() {
                    return Some((update, state));
                }
                match state.events.next().await? {
                    Ok(event) => state.apply(event),
                    Err(error) => {
                        tracing::warn!(%error, "the Kubernetes API does not answer; keeping the nodes it named");
                    }
                }
            }
        })
        .boxed()
    }
}

impl State {
    fn apply(&mut self, event: Event<EndpointSlice>) {
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(slice) => drop(self.listed.insert(slice.name_any(), self.source.addresses(&slice))),
            Event::InitDone => {
                self.slices = std::mem::take(&mut self.listed);
                self.say();
            }
            Event::Apply(slice) => {
                self.slices.insert(slice.name_any(), self.source.addresses(&slice));
                self.say();
            }
            Event::Delete(slice) => {
                self.slices.remove(&slice.name_any());
                self.say();
            }
        }
    }

    fn say(&mut self) {
        self.changes.set(self.slices.values().flatten().cloned().collect());
    }
}
