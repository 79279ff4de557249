//! The processes that are not this one.

use std::{
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use synod_aggregator::{
    Limits, Network, Options,
    discovery::{Fixed, Transport},
    http::{Http, HttpLimits, KeyFile, Keys},
    prompts::Prompts,
    records::{Settings, Texts},
    serve_both,
    topology::{Known, from_toml},
};
use tokio::net::TcpListener;

const MIXTURE: &str = r#"
default_topology = "mixture"
[topologies.mixture]
deadline = "60s"
[[topologies.mixture.stages]]
kind = "propose"
members = [{ model = "m" }, { model = "m" }, { model = "m" }]
[[topologies.mixture.stages]]
kind = "synthesize"
member = { model = "m" }
"#;

/// A child process. It ends with this one: its input is closed then.
pub(crate) struct Part {
    child: Child,
    pub(crate) addresses: Vec<String>,
}

impl Part {
    /// Starts this program in another role, and waits for the addresses that it serves.
    pub(crate) fn start(role: &str, arguments: &[String]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(role).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let addresses = line.split_whitespace().map(str::to_owned).collect();
        Self { child, addresses }
    }

    /// Processor time that it took so far, whoever else wanted the processor.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // After the name, which may have spaces: user and system time are fields 14 and 15, in hundredths of a second.
        let fields = stat.rsplit(')').next().unwrap().split_whitespace().skip(11).take(2);
        Duration::from_millis(fields.map(|ticks| ticks.parse::<u64>().unwrap() * 10).sum())
    }

    /// Memory that it holds.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// What this program prints in another role, once it has ended.
pub(crate) fn output(role: &str, arguments: &[&str]) -> Vec<u8> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.arg(role).args(arguments).stdin(Stdio::null()).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{role}: {}", output.status);
    output.stdout
}

/// Completes when whoever started this process lets go of its input.
pub(crate) async fn abandoned() {
    let end = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    let _ = end.await;
}

/// An aggregator over gRPC and HTTP that allows so many runs, and records them in a file.
pub(crate) async fn aggregator(nodes: &[String], limit: usize, records: Option<PathBuf>) {
    let (grpc, http) =
        (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    println!("{} {}", grpc.local_addr().unwrap(), http.local_addr().unwrap());
    let keys = Keys::open(KeyFile::at(PathBuf::from("/nonexistent")), false).unwrap();
    let http = Http { listener: http, keys, origins: Vec::new(), tls: None, limits: HttpLimits::standard() };
    let network = Network { discovery: Box::new(Fixed::new(nodes.to_vec())), transport: Transport::insecure() };
    let options = Options {
        records: records.map(|path| Settings {
            path,
            max_age: Duration::from_hours(24),
            max_bytes: 1 << 30,
            texts: Texts::Keep,
        }),
        nodes: Vec::new(),
        topologies: from_toml(MIXTURE, &Known::default()).unwrap(),
        prompts: Prompts::builtin().unwrap(),
        limits: Limits { concurrent_runs: limit, drain: Duration::ZERO, ..Limits::standard() },
    };
    serve_both(grpc, Some(http), network, options, abandoned()).await.unwrap();
}
