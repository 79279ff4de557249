//! A real etcd.

use etcd_client::{Client, CompactionOptions, GetOptions};
use synod_aggregator::discovery::{Discovery, Etcd};

use crate::contract::{Backend, check};

#[path = "../../../tests/support/etcd.rs"]
mod process;

use process::EtcdCluster;

const PREFIX: &str = "/synod/nodes/";

impl Backend for EtcdCluster {
    async fn set(&mut self, nodes: &[&str]) {
        let mut client = Client::connect(self.endpoints(), None).await.unwrap();
        for node in nodes {
            client.put(format!("{PREFIX}{node}"), *node, None).await.unwrap();
        }
        let known = client.get(PREFIX, Some(GetOptions::new().with_prefix())).await.unwrap();
        let mut revision = known.header().unwrap().revision();
        for kv in known.kvs().iter().filter(|kv| !nodes.contains(&kv.value_str().unwrap())) {
            revision = client.delete(kv.key(), None).await.unwrap().header().unwrap().revision();
        }
        // Nobody may count on the past.
        let compacted = client.compact(revision, Some(CompactionOptions::new().with_physical())).await;
        compacted.map(drop).unwrap_or_default(); // it is compacted already where nothing has changed
    }

    fn discovery(&self) -> Box<dyn Discovery> {
        Box::new(Etcd { endpoints: self.endpoints(), prefix: PREFIX.to_owned(), tls: None })
    }

    async fn go_away(&mut self) {
        self.stop_all();
    }

    async fn come_back(&mut self) {
        self.start_all().await;
    }
}

#[tokio::test]
async fn etcd_keeps_the_promise() {
    check(EtcdCluster::start(1).await).await;
}
