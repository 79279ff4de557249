//! What this process answers to those who look after it, without a key: health, readiness, metrics.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::Response,
};
use synod_telemetry::{Probes, Registry, names::metric};

use super::App;
use crate::{
    discovery::{NodeState, Pool},
    runs::Runner,
};

/// The probes of an aggregator.
pub(super) fn probes(runner: &Arc<Runner>, pool: &Arc<Pool>) -> Probes {
    let mut registry = Registry::new(env!("CARGO_PKG_VERSION"));
    runner.metrics().register(&mut registry);
    let of = Arc::clone(runner);
    registry.read(metric::RUNS_IN_FLIGHT, move || vec![(Vec::new(), of.in_flight() as f64)]);
    let of = Arc::clone(pool);
    registry.read(metric::CALLS_IN_FLIGHT, move || vec![(Vec::new(), of.in_flight() as f64)]);
    let of = Arc::clone(pool);
    registry.read(metric::NODES, move || {
        let nodes = of.list();
        let states =
            [("ready", NodeState::Ready), ("draining", NodeState::Draining), ("unreachable", NodeState::Unreachable)];
        let count = |state| nodes.iter().filter(|node| node.status.state == state).count() as f64;
        states.map(|(name, state)| (vec![("state", name.into())], count(state))).into()
    });
    let (runner, pool) = (Arc::clone(runner), Arc::clone(pool));
    Probes::new(registry, move || ready(&runner, &pool))
}

pub(super) async fn answer(State(app): State<Arc<App>>, request: Request) -> Response<String> {
    app.probes.answer(request.uri().path())
}

/// Whether a question would get an answer: one member is enough for that, as whoever is lost costs only a seat.
fn ready(runner: &Runner, pool: &Pool) -> Result<(), String> {
    if runner.is_draining() {
        return Err("draining".to_owned());
    }
    let topologies = runner.topologies();
    let default = topologies.get("").map_err(|error| error.to_string())?;
    let models = default.models();
    let entries = pool.entries();
    if models.iter().any(|model| entries.iter().any(|entry| entry.hosts(model))) {
        return Ok(());
    }
    let models: Vec<&str> = models.into_iter().collect();
    Err(format!("no ready node hosts a member of {}: {}", default.name(), models.join(", ")))
}
