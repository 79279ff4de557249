//! Real `synod` processes for tests: started on free ports, killed when dropped.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use synod_proto::v1::{DescribeRequest, node_service_client::NodeServiceClient};

/// The small model that process tests run on.
pub(crate) const MODEL: &str = "smollm2-135m-instruct";

/// The variable that says whether runs are recorded. They are not, unless a test says so: a file of the user's is no place
/// for what tests ask.
pub(crate) const RECORDS: &str = "SYNOD__RECORDS__ENABLED";

/// A process that listens somewhere.
pub(crate) struct Process {
    child: Child,
    /// `host:port`.
    pub(crate) address: String,
    /// What it said up to `ready`.
    lines: Vec<String>,
}

impl Process {
    /// A node with [`MODEL`].
    pub(crate) fn node() -> Self {
        Self::start(&["node", "--model", MODEL, "--listen", "127.0.0.1:0", "--threads", "1"], "node listening on ")
    }

    /// An aggregator over `nodes` with the topologies of `config`.
    pub(crate) fn aggregator(config: &Path, nodes: &[&Self]) -> Self {
        Self::aggregator_over(config, &nodes.iter().map(|node| node.address.as_str()).collect::<Vec<_>>())
    }

    /// An aggregator over nodes at these addresses, wherever they are.
    pub(crate) fn aggregator_over(config: &Path, nodes: &[&str]) -> Self {
        let config = config.to_str().unwrap();
        let mut arguments = vec!["aggregator", "--listen", "127.0.0.1:0", "--config", config, "--insecure"];
        nodes.iter().for_each(|node| arguments.extend(["--node", node]));
        Self::start(&arguments, "aggregator listening on ")
    }

    /// Starts `synod` and waits until it is ready.
    pub(crate) fn start(arguments: &[&str], prefix: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_synod"));
        command.args(arguments);
        Self::run(command, prefix)
    }

    /// Runs what becomes a `synod` process, and waits until that is ready.
    pub(crate) fn run(mut command: Command, prefix: &str) -> Self {
        if !command.get_envs().any(|(name, _)| name == RECORDS) {
            command.env(RECORDS, "false");
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let (mut address, mut lines) = (String::new(), Vec::new());
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            if let Some(bound) = line.strip_prefix(prefix) {
                address = bound.to_owned();
            }
            if line == "ready" {
                return Self { child, address, lines };
            }
            lines.push(line);
        }
        panic!("{command:?} ended before it was ready: {:?}", child.wait());
    }

    /// The rest of the line that begins like this.
    #[allow(dead_code, reason = "most tests need one address only")]
    pub(crate) fn said(&self, prefix: &str) -> &str {
        let rest = self.lines.iter().find_map(|line| line.strip_prefix(prefix));
        rest.unwrap_or_else(|| panic!("it said no `{prefix}`: {:?}", self.lines))
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill(); // it may be dead already
        let _ = self.child.wait();
    }

    /// SIGTERM, and how it ends.
    #[allow(dead_code, reason = "not every test ends its processes gently")]
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), rustix::process::Signal::TERM)
            .unwrap();
        self.child.wait().unwrap()
    }

    /// The process's id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The id that a node goes by in events.
    #[allow(dead_code, reason = "not every test tells nodes apart")]
    pub(crate) async fn node_id(&self) -> String {
        let mut client = NodeServiceClient::connect(format!("http://{}", self.address)).await.unwrap();
        client.describe(DescribeRequest {}).await.unwrap().into_inner().node_id
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
