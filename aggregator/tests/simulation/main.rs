//! A pool, a runner and some nodes in one thread: real gRPC over a simulated network, under one clock, all from a seed.
//!
//! Every seed plans its own nodes, faults and questions ([`plan`]); what happened is written down ([`world`]) and held
//! against what must hold whatever happens ([`checks`]). `SYNOD_SIM_SEEDS` says how many seeds, `SYNOD_SIM_FIRST` where
//! to begin, `SYNOD_SIM_SEED` replays one and prints what happened in it.
// clippy.toml allows these in tests, but does not see that helpers here are part of them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

mod asker;
mod checks;
mod network;
mod node;
mod plan;
mod watched;
mod world;

use std::{rc::Rc, str::FromStr, time::Duration};

use plan::{Cut, Plan};
use world::World;

/// Seeds of a normal test run.
const SEEDS: u64 = 300;

fn variable<T: FromStr>(name: &str) -> Option<T> {
    std::env::var(name)
        .ok()
        .map(|value| value.parse().ok().unwrap_or_else(|| panic!("{name} is not a number: {value}")))
}

/// Everything that happened under a seed.
fn simulate(seed: u64) -> (Plan, World) {
    let plan = Rc::new(Plan::from_seed(seed));
    let world = world::Shared::default();
    let mut sim = turmoil::Builder::new()
        .rng_seed(seed)
        .epoch(std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000))
        .simulation_duration(Duration::from_secs(600))
        .tick_duration(Duration::from_millis(10))
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(plan.latency)
        .tcp_capacity(4096)
        .build();
    for (at, spec) in plan.nodes.iter().enumerate() {
        let (spec, world) = (spec.clone(), world.clone());
        sim.host(plan::name(at), move || node::serve(at, spec.clone(), seed, world.clone()));
    }
    sim.client("aggregator", asker::ask_all(Rc::clone(&plan), world.clone()));
    let mut due = plan.changes();
    loop {
        while due.first().is_some_and(|(at, ..)| *at <= sim.elapsed()) {
            let (_, node, cut, begins) = due.remove(0);
            let name = plan::name(node);
            match (cut, begins) {
                (Cut::Partition, true) => sim.partition("aggregator", name.as_str()),
                (Cut::Partition, false) => sim.repair("aggregator", name.as_str()),
                (Cut::Hold, true) => sim.hold("aggregator", name.as_str()),
                (Cut::Hold, false) => sim.release("aggregator", name.as_str()),
                (Cut::Crash, true) => sim.crash(name.as_str()),
                (Cut::Crash, false) => sim.bounce(name.as_str()),
            }
        }
        if sim.step().unwrap_or_else(|error| panic!("seed {seed}: {error}")) {
            break;
        }
    }
    drop(sim);
    let plan = Rc::try_unwrap(plan).unwrap_or_else(|plan| (*plan).clone());
    (plan, world.take())
}

#[test]
fn whatever_happens_runs_end_once_in_time_with_what_the_living_wrote() {
    if let Some(seed) = variable("SYNOD_SIM_SEED") {
        let (plan, world) = simulate(seed);
        println!("{plan:#?}\n{world:#?}");
        return checks::all(seed, &plan, &world);
    }
    let first = variable("SYNOD_SIM_FIRST").unwrap_or(0);
    let last = first + variable("SYNOD_SIM_SEEDS").unwrap_or(SEEDS);
    println!("seeds {first} to {}", last - 1);
    let mut seen = checks::Seen::default();
    for seed in first..last {
        let (plan, world) = simulate(seed);
        checks::all(seed, &plan, &world);
        seen.count(&plan, &world);
    }
    println!("{seen:?}");
    if last - first >= SEEDS {
        seen.assert_all_kinds();
    }
}

#[test]
fn a_seed_replays() {
    for seed in [3, 14, 159] {
        let (one, again) = (simulate(seed).1, simulate(seed).1);
        assert_eq!(one.trace(), again.trace(), "seed {seed}");
    }
}
