//! The pool with somebody looking over its shoulder.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use futures::StreamExt;
use synod_aggregator::{
    Error,
    discovery::Pool,
    members::{Call, EventStream, Nodes, Picked, Wanted},
};

use crate::{node::PORT, world};

pub(crate) struct Watched {
    pub(crate) pool: Pool,
    pub(crate) world: world::Shared,
    /// After how long a second node is asked; what is measured takes more calls than a seed has.
    pub(crate) hedge: Option<Duration>,
    pub(crate) probes: Arc<Mutex<BTreeMap<(String, String), usize>>>,
}

#[async_trait]
impl Nodes for Watched {
    fn pick(&self, wanted: &Wanted<'_>, tried: &[Arc<str>]) -> Result<Picked, Error> {
        let ejected = self.pool.ejected(wanted.model);
        let picked = self.pool.pick(wanted, tried)?;
        let is_out = ejected.contains(&format!("{}:{PORT}", picked.node));
        let mut world = self.world.lock();
        world.picks += 1;
        if is_out != picked.lease.is_probe() {
            let (model, probe) = (wanted.model, picked.lease.is_probe());
            world.broken.push(format!("{} of {ejected:?} was asked for {model}, probe: {probe}", picked.node));
        }
        drop(world);
        Ok(picked)
    }

    async fn generate(&self, picked: &Picked, call: &Call) -> Result<EventStream, Error> {
        let probe = picked.lease.is_probe().then(|| Probe::new(self, &picked.node, &call.model));
        let events = self.pool.generate(picked, call).await?;
        Ok(events
            .inspect(move |_| {
                let _ = &probe;
            })
            .boxed())
    }

    fn may_retry(&self) -> bool {
        self.pool.may_retry()
    }

    fn hedge_after(&self, model: &str) -> Option<Duration> {
        self.pool.hedge_after(model).or(self.hedge)
    }

    async fn settled(&self) {
        self.pool.settled().await;
    }
}

/// A probe under way.
struct Probe {
    of: (String, String),
    all: Arc<Mutex<BTreeMap<(String, String), usize>>>,
}

impl Probe {
    fn new(watched: &Watched, node: &str, model: &str) -> Self {
        let of = (node.to_owned(), model.to_owned());
        let mut all = watched.probes.lock().unwrap();
        let count = all.entry(of.clone()).or_default();
        *count += 1;
        let mut world = watched.world.lock();
        world.probes += 1;
        if *count > 1 {
            world.broken.push(format!("{count} probes at once: {of:?}"));
        }
        drop(all);
        Self { of, all: Arc::clone(&watched.probes) }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        *self.all.lock().unwrap().entry(self.of.clone()).or_default() -= 1;
    }
}
