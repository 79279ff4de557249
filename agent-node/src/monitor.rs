//! What a node tells those who watch it: metrics, and whether it is ready.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use synod_telemetry::{
    Probes, Registry,
    metrics::{Counters, Histograms, Label, durations, token_times},
    names::metric,
};
use tokio_util::sync::CancellationToken;

use crate::host::Host;

/// A node that is watched, from before it has loaded its models until it leaves.
pub struct Monitor {
    hosting: Arc<OnceLock<Hosting>>,
    pub(crate) counts: Counts,
}

/// The models are there.
struct Hosting {
    host: Arc<Host>,
    /// Cancelled once it takes no more requests.
    leaving: CancellationToken,
}

/// What is counted of calls, by model. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Counts {
    pub(crate) calls: Counters<2>,
    pub(crate) prefilled: Counters<1>,
    pub(crate) reused: Counters<1>,
    pub(crate) generated: Counters<1>,
    pub(crate) queue: Histograms,
    pub(crate) first_token: Histograms,
    pub(crate) token: Histograms,
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor").field("counts", &self.counts).finish_non_exhaustive()
    }
}

impl Default for Monitor {
    fn default() -> Self {
        let counts = Counts {
            calls: Counters::default(),
            prefilled: Counters::default(),
            reused: Counters::default(),
            generated: Counters::default(),
            queue: durations(),
            first_token: durations(),
            token: token_times(),
        };
        Self { hosting: Arc::default(), counts }
    }
}

impl Monitor {
    /// From here on it serves these models, until it is leaving.
    pub(crate) fn serves(&self, host: &Arc<Host>, leaving: &CancellationToken) {
        // A node serves once; of a second time the first is told.
        let _ = self.hosting.set(Hosting { host: Arc::clone(host), leaving: leaving.clone() });
    }

    /// What it answers over HTTP.
    pub fn probes(&self) -> Probes {
        let mut registry = Registry::new(env!("CARGO_PKG_VERSION"));
        self.gauges(&mut registry);
        let Counts { calls, prefilled, reused, generated, queue, first_token, token } = self.counts.clone();
        registry.add(metric::NODE_CALLS, calls);
        registry.add(metric::NODE_PREFILLED, prefilled);
        registry.add(metric::NODE_REUSED, reused);
        registry.add(metric::NODE_GENERATED, generated);
        registry.add(metric::NODE_QUEUE, queue);
        registry.add(metric::NODE_FIRST_TOKEN, first_token);
        registry.add(metric::NODE_TOKEN, token);
        let hosting = Arc::clone(&self.hosting);
        Probes::new(registry, move || match hosting.get() {
            None => Err("loading models".to_owned()),
            Some(Hosting { leaving, .. }) if leaving.is_cancelled() => Err("draining".to_owned()),
            Some(_) => Ok(()),
        })
    }

    /// What the engines say when they are asked.
    fn gauges(&self, registry: &mut Registry) {
        let of_models = |read: fn(&Host) -> Vec<(String, f64)>| {
            let hosting = Arc::clone(&self.hosting);
            move || {
                let read = hosting.get().map(|hosting| read(&hosting.host)).unwrap_or_default();
                read.into_iter().map(|(model, value)| (vec![by_model(&model)], value)).collect()
            }
        };
        registry.read(
            metric::NODE_RUNNING,
            of_models(|host| host.describe().into_iter().map(|model| (model.name, f64::from(model.running))).collect()),
        );
        registry.read(
            metric::NODE_WAITING,
            of_models(|host| host.describe().into_iter().map(|model| (model.name, f64::from(model.queued))).collect()),
        );
        registry.read(metric::NODE_CACHE, of_models(Host::cache_usage));
    }
}

/// The label of a model that this node hosts: there are as many as its command line names.
pub(crate) fn by_model(model: &str) -> Label {
    ("model", model.to_owned().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_loads_is_alive_and_not_ready() {
        let probes = Monitor::default().probes();
        assert_eq!(probes.answer("/healthz").status(), 200);
        let waiting = probes.answer("/readyz");
        assert_eq!(waiting.status(), 503);
        assert!(waiting.body().contains("loading models"), "{}", waiting.body());
        assert!(probes.answer("/metrics").body().contains("synod_build_info"));
    }
}
