//! Real etcd processes on loopback, killed when dropped.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use etcd_client::Client;
use tempfile::TempDir;

/// Members of one etcd, each with its data in a folder that outlives the process.
pub(crate) struct EtcdCluster {
    folder: TempDir,
    members: Vec<Member>,
}

struct Member {
    client_port: u16,
    peer_port: u16,
    process: Option<Child>,
}

impl EtcdCluster {
    /// Starts so many and waits until they have a leader.
    pub(crate) async fn start(members: usize) -> Self {
        let member = |_| Member { client_port: free_port(), peer_port: free_port(), process: None };
        let mut cluster = Self { folder: TempDir::new().unwrap(), members: (0..members).map(member).collect() };
        cluster.start_all().await;
        cluster
    }

    /// For clients.
    pub(crate) fn endpoints(&self) -> Vec<String> {
        self.members.iter().map(|member| format!("http://127.0.0.1:{}", member.client_port)).collect()
    }

    /// Starts those that do not run, and waits until there is a leader.
    pub(crate) async fn start_all(&mut self) {
        let peers: Vec<_> = self.members.iter().enumerate().map(|(at, member)| member.peer(at)).collect();
        for (at, member) in self.members.iter_mut().enumerate() {
            let folder = self.folder.path().join(at.to_string());
            member.process.get_or_insert_with(|| run(at, member.client_port, member.peer_port, &folder, &peers));
        }
        for endpoint in self.endpoints() {
            while !has_leader(&endpoint).await {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    /// `kill -9` for all.
    pub(crate) fn stop_all(&mut self) {
        self.members.iter_mut().for_each(Member::kill);
    }

    /// `kill -9` for the one that leads.
    #[allow(dead_code, reason = "not every test that uses this file has several")]
    pub(crate) async fn kill_leader(&mut self) {
        for (at, endpoint) in self.endpoints().iter().enumerate() {
            let mut client = Client::connect([endpoint], None).await.unwrap();
            let status = client.status().await.unwrap();
            if status.leader() == status.header().unwrap().member_id() {
                return self.members[at].kill();
            }
        }
        panic!("no member leads");
    }
}

impl Member {
    fn peer(&self, at: usize) -> String {
        format!("m{at}=http://127.0.0.1:{}", self.peer_port)
    }

    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill(); // it may be dead already
            let _ = process.wait();
        }
    }
}

impl Drop for EtcdCluster {
    fn drop(&mut self) {
        self.stop_all();
    }
}

fn run(at: usize, client_port: u16, peer_port: u16, folder: &Path, peers: &[String]) -> Child {
    let (client, peer) = (format!("http://127.0.0.1:{client_port}"), format!("http://127.0.0.1:{peer_port}"));
    Command::new("etcd")
        .args(["--name", &format!("m{at}"), "--data-dir", folder.to_str().unwrap()])
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &peers.join(","), "--initial-cluster-state", "new"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("etcd is not installed: Debian has it as etcd-server")
}

async fn has_leader(endpoint: &str) -> bool {
    let status = async { Client::connect([endpoint], None).await?.status().await };
    let status = tokio::time::timeout(Duration::from_secs(1), status).await;
    status.is_ok_and(|status| status.is_ok_and(|status| status.leader() != 0))
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
