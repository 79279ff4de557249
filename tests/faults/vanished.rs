//! What a node computes once nobody wants it any more.

use std::{
    fs,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt, future::ready};
use synod_aggregator::{Client, Question, events::Event};
use synod_proto::v1::{DescribeRequest, node_service_client::NodeServiceClient};
use tempfile::TempDir;
use tokio::{task::spawn_blocking, time::sleep};
use tonic::transport::Channel;

use crate::{
    cell::{Fault, LIAR},
    scripted::{Heard, Script, serve},
    support::{MODEL, Process},
};

/// Processor time after which a node is in the middle of a call.
const BUSY: Duration = Duration::from_millis(100);
/// Between two looks.
const STEP: Duration = Duration::from_millis(5);
/// A node that takes less in [`WATCHED`] is idle: its looks at itself cost something.
const IDLE: Duration = Duration::from_millis(20);
const WATCHED: Duration = Duration::from_millis(500);
/// Within which a node must have noticed.
const NOTICE: Duration = Duration::from_millis(300);
/// Processor time of the chunk that is under way, on a slow machine; to go on would take ten times as much.
const CHUNK: Duration = Duration::from_secs(3);
/// Calls that are given up half way.
const GIVEN_UP: usize = 30;
/// Before anything else is wrong.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the node does when its caller is killed.
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// It reads a long prompt.
    Reading,
    /// It writes a long answer.
    Writing,
}

/// Who is killed.
#[derive(Debug, Clone, Copy)]
enum Caller {
    /// `synod ask`: the aggregator has to tell the node.
    Asker,
    /// The aggregator: the node has to see it for itself.
    Aggregator,
}

struct Scene {
    asker: Child,
    aggregator: Process,
    node: Process,
    _directory: TempDir,
}

impl Scene {
    fn set(phase: Phase) -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("synod.toml");
        let text = format!(
            "default_topology = \"alone\"\n[topologies.alone]\ndeadline = \"120s\"\n[[topologies.alone.stages]]\n\
             kind = \"synthesize\"\nmember = {{ model = \"{MODEL}\", max_tokens = 1500 }}\n"
        );
        fs::write(&path, text).unwrap();
        let node = Process::node();
        let aggregator = Process::aggregator(&path, &[&node]);
        let about = "I have looked at maples, oaks and beeches, and they differ from year to year. ";
        let question = match phase {
            Phase::Reading => about.repeat(320) + "Why?",
            Phase::Writing => "Write a long story about a fox, a crow and a piece of cheese.".to_owned(),
        };
        let mut asker = Command::new(env!("CARGO_BIN_EXE_synod"));
        asker.args(["ask", "--json", "--endpoint", &format!("http://{}", aggregator.address), &question]);
        let asker = asker.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        Self { asker, aggregator, node, _directory: directory }
    }

    fn kill(&mut self, caller: Caller) {
        match caller {
            Caller::Asker => self.asker.kill().unwrap(),
            Caller::Aggregator => self.aggregator.kill(),
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.asker.kill(); // it may be dead already
        let _ = self.asker.wait();
    }
}

/// Processor time that a process took so far, whoever else wanted the processor.
fn cpu(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // After the name, which may have spaces: user and system time are fields 14 and 15, in hundredths of a second.
    let fields = stat.rsplit(')').next().unwrap().split_whitespace().skip(11).take(2);
    Duration::from_millis(fields.map(|ticks| ticks.parse::<u64>().unwrap() * 10).sum())
}

/// Kills the caller in the middle; how long the node goes on, and what that costs it.
async fn goes_on(phase: Phase, caller: Caller) -> (Duration, Duration) {
    let mut scene = spawn_blocking(move || Scene::set(phase)).await.unwrap();
    let pid = scene.node.pid();
    let mut node = NodeServiceClient::connect(format!("http://{}", scene.node.address)).await.unwrap();
    until(&mut node, 1).await;
    let (began, asked) = (Instant::now(), cpu(pid));
    while cpu(pid) < asked + BUSY {
        assert!(began.elapsed() < PATIENCE, "the node has nothing to do");
        sleep(STEP).await;
    }
    until(&mut node, 1).await;
    let (killed, before) = (Instant::now(), cpu(pid));
    scene.kill(caller);
    let mut samples = vec![(Duration::ZERO, before)];
    loop {
        let (now, used) = (killed.elapsed(), cpu(pid));
        samples.push((now, used));
        // Idle from the first moment on after which a whole span cost next to nothing.
        let quiet = samples.iter().find(|(_, then)| used - *then <= IDLE).copied();
        let (since, then) = quiet.unwrap_or((now, used));
        if now - since >= WATCHED {
            until(&mut node, 0).await;
            return (since, then - before);
        }
        assert!(now < PATIENCE, "{phase:?}, {caller:?} killed: the node goes on");
        sleep(STEP).await;
    }
}

/// Waits until a node has so many calls.
async fn until(node: &mut NodeServiceClient<Channel>, calls: u32) {
    let began = Instant::now();
    loop {
        let described = node.describe(DescribeRequest {}).await.unwrap().into_inner();
        if described.models.iter().map(|model| model.running + model.queued).sum::<u32>() == calls {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "it never has {calls} calls: {described:?}");
        sleep(STEP).await;
    }
}

fn all() -> impl Iterator<Item = (Phase, Caller)> {
    let phases = [Phase::Reading, Phase::Writing].into_iter();
    phases.flat_map(|phase| [(phase, Caller::Asker), (phase, Caller::Aggregator)])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_stops_computing_for_a_caller_that_vanished() {
    for (phase, caller) in all() {
        let (after, cost) = goes_on(phase, caller).await;
        println!("{phase:?}, {caller:?} killed: idle after {after:?}, which cost {cost:?} of processor time");
        assert!(cost <= CHUNK, "{phase:?}, {caller:?} killed: it took {cost:?} of processor time more");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures time on a machine that should be idle: see docs/faults.md"]
async fn a_node_is_idle_300_ms_after_its_caller_vanished() {
    for (phase, caller) in all() {
        let (after, _) = goes_on(phase, caller).await;
        assert!(after <= NOTICE, "{phase:?}, {caller:?} killed: idle after {after:?}");
    }
}

/// A synthesiser reads drafts while they are written: whoever goes away then leaves half a prompt. What it costs is what was
/// read; to take it for whole, and answer it, would cost an answer to nobody.
#[tokio::test(flavor = "multi_thread")]
async fn half_a_prompt_whose_caller_went_away_is_let_go_and_not_answered() {
    let directory = TempDir::new().unwrap();
    let (config, log) = (directory.path().join("synod.toml"), directory.path().join("log"));
    let text = format!(
        "default_topology = \"two\"\n[topologies.two]\ndeadline = \"120s\"\n[[topologies.two.stages]]\n\
         kind = \"propose\"\nmembers = [{{ model = \"{LIAR}\" }}]\n[[topologies.two.stages]]\n\
         kind = \"synthesize\"\nmember = {{ model = \"{MODEL}\" }}\n"
    );
    fs::write(&config, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_synod"));
    command.args(["node", "--model", MODEL, "--listen", "127.0.0.1:0", "--threads", "1"]);
    command.env("RUST_LOG", "synod_agent_node=debug").env("NO_COLOR", "1").stderr(fs::File::create(&log).unwrap());
    let node = spawn_blocking(|| Process::run(command, "node listening on ")).await.unwrap();
    let endless = Script::Lie { fault: Fault::Endless, lead: "", liar: Arc::default(), others: "" };
    let draft = serve("endless", &[(LIAR, endless)], &Heard::default()).await.to_string();
    let nodes = [node.address.clone(), draft];
    let aggregator = spawn_blocking(move || Process::aggregator_over(&config, &nodes.each_ref().map(String::as_str)));
    let aggregator = aggregator.await.unwrap();

    let mut client = Client::connect(&aggregator.address).await.unwrap();
    for call in 0..GIVEN_UP {
        let events = client.ask(Question::new("Why do leaves change colour in autumn?")).await.unwrap();
        // At another moment of its work each time.
        let deltas = events.filter(|event| ready(matches!(event, Ok(Event::MemberDelta { .. }))));
        assert_eq!(deltas.take(40 + call).count().await, 40 + call);
    }
    until(&mut NodeServiceClient::connect(format!("http://{}", node.address)).await.unwrap(), 0).await;
    let log = fs::read_to_string(&log).unwrap();
    assert_eq!(
        (log.matches("sequence opened").count(), log.matches("prompt complete").count()),
        (GIVEN_UP, 0),
        "{log}"
    );
}
