//! Asks what the plan has, and writes down what comes back.

use std::{rc::Rc, sync::Arc, time::Duration};

use futures::StreamExt;
use synod_aggregator::{
    Limits, Question, Runner,
    discovery::{Fixed, Pool, Transport},
    prompts::Prompts,
    topology::{Known, Sampling, from_toml},
};
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    network::connect,
    node::PORT,
    plan::{Asked, Plan, name},
    watched::Watched,
    world::{self, Run, now},
};

const TOPOLOGIES: &str = r#"
default_topology = "mixture"
[topologies.mixture]
deadline = "60s"
[[topologies.mixture.stages]]
kind = "propose"
quorum = 2
grace = "3s"
members = [{ model = "a" }, { model = "b" }, { model = "c" }]
[[topologies.mixture.stages]]
kind = "synthesize"
member = { model = "s" }
[topologies.layers]
deadline = "60s"
[[topologies.layers.stages]]
kind = "propose"
members = [{ model = "a", samples = 2 }]
[[topologies.layers.stages]]
kind = "propose"
quorum = 1
grace = "3s"
members = [{ model = "b" }, { model = "c" }]
[[topologies.layers.stages]]
kind = "synthesize"
member = { model = "s", system = "Be brief." }
[topologies.alone]
[[topologies.alone.stages]]
kind = "synthesize"
member = { model = "s" }
"#;

/// After the last run: every cut is over by then, and what was cut off has been noticed.
const QUIET: Duration = Duration::from_secs(20);

fn limits() -> Limits {
    Limits {
        attempts: 6,
        first_token: Duration::from_secs(1),
        idle: Duration::from_secs(1),
        seat_bytes: 4000,
        poll_interval: Duration::from_millis(500),
        poll_timeout: Duration::from_millis(500),
        connect: Duration::from_millis(500),
        reconnect_max: Duration::from_secs(1),
        first_look: Duration::from_secs(1),
        retries_per_second: 100,
        hedge_min: Duration::from_millis(300),
        failures_in_a_row: 2,
        ejection: Duration::from_secs(1),
        ejection_max: Duration::from_secs(4),
        ..Limits::standard()
    }
}

/// Everything that the aggregator's host does.
pub(crate) async fn ask_all(plan: Rc<Plan>, world: world::Shared) -> turmoil::Result {
    let addresses = (0..plan.nodes.len()).map(|at| format!("{}:{PORT}", name(at))).collect();
    let pool = Pool::start_seeded(
        Box::new(Fixed::new(addresses)),
        Transport { connect: Some(connect()), ..Transport::insecure() },
        limits(),
        7,
    );
    let watched = Watched { pool, world: world.clone(), hedge: plan.hedge, probes: Arc::default() };
    let topologies = from_toml(TOPOLOGIES, &Known::default()).unwrap();
    let runner = Runner::new(Arc::new(watched), topologies, Prompts::builtin()?, limits());
    let asking = plan.questions.iter().enumerate().map(|(at, asked)| ask(&runner, at, asked, &world));
    futures::future::join_all(asking).await;
    sleep(QUIET).await;
    world.lock().note_open();
    runner.drain(Duration::ZERO).await;
    Ok(())
}

async fn ask(runner: &Runner, at: usize, asked: &Asked, world: &world::Shared) {
    sleep(asked.at).await;
    let run_id = format!("run-{at}");
    let question = Question {
        topology: asked.topology.to_owned(),
        run_id: run_id.clone(),
        deadline: Some(asked.deadline),
        sampling: Sampling { seed: Some(1), ..Sampling::default() },
        ..Question::new("Why?")
    };
    let (began, leaves) = (now(), asked.leaves.map(|leaves| Instant::now() + leaves));
    let mut stream = runner.start(question).unwrap();
    let mut run = Run {
        began,
        ended: began,
        deadline: asked.deadline,
        left: false,
        events: Vec::new(),
        error: None,
        after_end: 0,
    };
    let leave = async {
        match leaves {
            Some(leaves) => sleep_until(leaves).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(leave);
    loop {
        let next = tokio::select! {
            biased;
            next = stream.next() => next,
            () = &mut leave => {
                run.left = true;
                None
            }
        };
        match next {
            Some(_) if run.error.is_some() => run.after_end += 1,
            Some(Ok(event)) => run.events.push(event),
            Some(Err(error)) => run.error = Some(error.code),
            None => break,
        }
    }
    drop(stream);
    run.ended = now();
    world.lock().runs.insert(run_id, run);
}
