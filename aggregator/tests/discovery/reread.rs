//! A list in a file.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use synod_aggregator::discovery::{Discovery, Reread};
use tempfile::TempDir;
use tokio::sync::Notify;

use crate::contract::{Backend, check};

struct File {
    folder: TempDir,
    nodes: String,
    read_in_vain: Arc<Notify>,
}

impl File {
    fn path(&self) -> PathBuf {
        self.folder.path().join("nodes")
    }
}

impl Backend for File {
    async fn set(&mut self, nodes: &[&str]) {
        self.nodes = nodes.join("\n");
        self.come_back().await;
    }

    fn discovery(&self) -> Box<dyn Discovery> {
        let (path, read_in_vain) = (self.path(), Arc::clone(&self.read_in_vain));
        Box::new(Reread::new(Duration::from_millis(20), move || {
            let text = fs::read_to_string(&path).inspect_err(|_| read_in_vain.notify_one())?;
            Ok::<_, std::io::Error>(text.lines().map(ToOwned::to_owned).collect())
        }))
    }

    async fn go_away(&mut self) {
        fs::remove_file(self.path()).unwrap();
        self.read_in_vain.notified().await;
    }

    async fn come_back(&mut self) {
        // At once: half a list is a list too.
        let next = self.folder.path().join("next");
        fs::write(&next, &self.nodes).unwrap();
        fs::rename(next, self.path()).unwrap();
    }
}

#[tokio::test]
async fn a_file_keeps_the_promise() {
    check(File { folder: TempDir::new().unwrap(), nodes: String::new(), read_in_vain: Arc::default() }).await;
}
