//! A node in a network namespace of its own, at the end of a cable that can be cut.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use synod_aggregator::events::Event;
use synod_proto::v1::{ListNodesRequest, NodeState, aggregator_service_client::AggregatorServiceClient};
use tempfile::TempDir;
use tokio::task::spawn_blocking;

use crate::{
    asking::{Seen, ask},
    cell::{Cell, Fault, Rest, Role},
    relay::{Way, relay},
    scripted::{Heard, Script, serve},
    support::{MODEL, Process},
};

/// How long a node may take to be used again once its cable is whole: its connection must be found dead, and a new one made.
const HEALING: Duration = Duration::from_secs(20);
const QUESTION: &str = "Why do leaves change colour in autumn?";

/// A namespace and the cable into it: 10.213.N.1 here, 10.213.N.2 there. Both go with it.
struct Namespace {
    number: u8,
}

impl Namespace {
    fn new(number: u8) -> Self {
        let namespace = Self { number };
        // What a run that was killed left behind.
        namespace.remove();
        let (name, here) = (namespace.name(), namespace.interface());
        ip(&["netns", "add", &name]);
        ip(&["link", "add", &here, "type", "veth", "peer", "name", "eth0", "netns", &name]);
        ip(&["addr", "add", &format!("10.213.{number}.1/30"), "dev", &here]);
        ip(&["link", "set", &here, "up"]);
        ip(&["-n", &name, "addr", "add", &format!("10.213.{number}.2/30"), "dev", "eth0"]);
        ip(&["-n", &name, "link", "set", "lo", "up"]);
        ip(&["-n", &name, "link", "set", "eth0", "up"]);
        namespace
    }

    fn name(&self) -> String {
        format!("synod-faults-{}", self.number)
    }

    fn interface(&self) -> String {
        format!("synodf{}", self.number)
    }

    fn node(&self) -> Process {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name(), env!("CARGO_BIN_EXE_synod"), "node", "--model", MODEL]);
        command.args(["--threads", "1", "--insecure", "--listen", &format!("10.213.{}.2:7610", self.number)]);
        Process::run(command, "node listening on ")
    }

    /// Nothing passes.
    fn cut(&self) {
        ip(&["-n", &self.name(), "link", "set", "eth0", "down"]);
    }

    fn heal(&self) {
        ip(&["-n", &self.name(), "link", "set", "eth0", "up"]);
    }

    /// The node hears, and is not heard.
    fn mute(&self) {
        ip(&["-n", &self.name(), "route", "add", "blackhole", &self.here()]);
    }

    fn unmute(&self) {
        ip(&["-n", &self.name(), "route", "del", "blackhole", &self.here()]);
    }

    fn here(&self) -> String {
        format!("10.213.{}.1/32", self.number)
    }

    fn remove(&self) {
        // Neither need be there.
        let quietly = |arguments: &[&str]| drop(Command::new("ip").args(arguments).output());
        quietly(&["link", "del", &self.interface()]);
        quietly(&["netns", "del", &self.name()]);
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.remove();
    }
}

#[track_caller]
fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().expect("`ip` is needed: install iproute2");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {}: {said} (this takes root and network namespaces)", arguments.join(" "));
}

/// A node with a model at the end of a cable, everyone else here, and an aggregator over them.
struct Scene {
    // Dropped in this order: processes before what they run in.
    aggregator: Process,
    node: Process,
    namespace: Namespace,
    _directory: TempDir,
}

impl Scene {
    async fn set(number: u8, delay: Duration) -> Self {
        let namespace = Namespace::new(number);
        let (namespace, node) = spawn_blocking(|| {
            let node = namespace.node();
            (namespace, node)
        })
        .await
        .unwrap();
        let well = [
            ("a", Script::Say("Leaves turn because the green in them goes.")),
            ("b", Script::Say("The days are shorter, and chlorophyll is not made again.")),
            ("scribe", Script::Say("Chlorophyll goes, and what it hid is seen.")),
        ];
        let well = serve("well", &well, &Heard::default()).await;
        let way = match delay {
            Duration::ZERO => node.address.clone(),
            delay => relay(node.address.parse::<SocketAddr>().unwrap(), Way { delay, spoils: false }).await.to_string(),
        };
        let directory = TempDir::new().unwrap();
        let config = config(directory.path());
        let aggregator =
            spawn_blocking(move || Process::aggregator_over(&config, &[&well.to_string(), &way])).await.unwrap();
        Self { aggregator, node, namespace, _directory: directory }
    }

    async fn ask(&self, meddle: impl FnMut(&Event)) -> Seen {
        let seen = ask(&self.aggregator.address, QUESTION, meddle).await;
        assert_eq!(seen.wrong(), [] as [&str; 0]);
        seen
    }

    /// Asks, and does something to the cable once the node at its end has begun its draft.
    async fn ask_and(&self, spoil: impl FnOnce(&Namespace)) -> Seen {
        let mut spoil = Some(spoil);
        let seen = self
            .ask(|event| match event {
                Event::MemberDelta { at, .. } if at.seat == 0 => {
                    if let Some(spoil) = spoil.take() {
                        spoil(&self.namespace);
                    }
                }
                _ => {}
            })
            .await;
        assert!(spoil.is_none(), "the node never began: {:?}", seen.events);
        seen
    }

    /// Waits until the node is used again; how long that took.
    async fn healed(&self) -> Duration {
        let began = Instant::now();
        let mut client = AggregatorServiceClient::connect(format!("http://{}", self.aggregator.address)).await.unwrap();
        loop {
            let nodes = client.list_nodes(ListNodesRequest {}).await.unwrap().into_inner().nodes;
            let is_ready = |address: &str| {
                nodes.iter().any(|node| node.address.ends_with(address) && node.state() == NodeState::Ready)
            };
            // That it is listed as ready may be old news: a question tells.
            if is_ready(&self.node.address) && is_whole(&self.ask(|_| {}).await) {
                return began.elapsed();
            }
            assert!(began.elapsed() < HEALING, "the node is not used again: {nodes:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

fn config(directory: &Path) -> PathBuf {
    let cell = Cell { fault: Fault::Kill, role: Role::OnlyProposer, rest: Rest::Enough };
    let path = directory.join("synod.toml");
    // A draft of a real model, and the way to it, take more than what scripts need.
    fs::write(&path, cell.config().replace("grace = \"1s\"", "grace = \"3s\"").replace("160", "64")).unwrap();
    path
}

/// Everyone answered.
fn is_whole(seen: &Seen) -> bool {
    matches!(seen.events.last(), Some(Event::RunFinished(finished)) if !finished.degraded)
}

/// An answer without the node at the end of the cable.
#[track_caller]
fn assert_only_its_seat(seen: &Seen) {
    let Some(Event::RunFinished(finished)) = seen.events.last() else { panic!("no answer: {:?}", seen.events.last()) };
    assert_eq!(finished.answer, "Chlorophyll goes, and what it hid is seen.");
    assert!(finished.degraded && finished.warnings[0].contains("stage 0 seat 0"), "{:?}", finished.warnings);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and ip netns: see docs/faults.md"]
async fn a_node_whose_cable_is_cut_in_the_middle_of_its_draft_costs_its_seat_and_is_used_again() {
    let scene = Scene::set(1, Duration::ZERO).await;
    let whole = scene.ask(|_| {}).await;
    assert!(is_whole(&whole), "{:?}", whole.events.last());
    let cut = scene.ask_and(Namespace::cut).await;
    assert_only_its_seat(&cut);
    let still_cut = scene.ask(|_| {}).await;
    assert_only_its_seat(&still_cut);
    scene.namespace.heal();
    let healed = scene.healed().await;
    println!("cut: answers after {:?} and {:?}; used again {healed:?} after it was healed", cut.took, still_cut.took);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and ip netns: see docs/faults.md"]
async fn a_node_that_hears_and_is_not_heard_costs_its_seat_and_is_used_again() {
    let scene = Scene::set(2, Duration::ZERO).await;
    let muted = scene.ask_and(Namespace::mute).await;
    assert_only_its_seat(&muted);
    scene.namespace.unmute();
    let healed = scene.healed().await;
    println!("not heard: an answer after {:?}; used again {healed:?} after it was healed", muted.took);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and ip netns: see docs/faults.md"]
async fn a_node_200_ms_away_keeps_its_seat() {
    let scene = Scene::set(3, Duration::from_millis(100)).await;
    let seen = scene.ask(|_| {}).await;
    assert!(is_whole(&seen), "{:?}", seen.events.last());
    println!("200 ms there and back: an answer after {:?}", seen.took);
}
