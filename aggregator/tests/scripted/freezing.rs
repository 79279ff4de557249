//! A way to a node that can freeze: what a stopped process or a cut cable looks like from here. Sockets stay open, and
//! nothing moves.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

pub(crate) struct Freezing {
    pub(crate) address: SocketAddr,
    frozen: Arc<watch::Sender<bool>>,
    _tasks: JoinSet<()>,
}

impl Freezing {
    pub(crate) async fn before(node: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let frozen = Arc::new(watch::channel(false).0);
        let mut tasks = JoinSet::new();
        let state = Arc::clone(&frozen);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                connections.spawn(forward(near, node, state.subscribe()));
            }
        });
        Self { address, frozen, _tasks: tasks }
    }

    pub(crate) fn freeze(&self) {
        self.frozen.send_replace(true);
    }
}

async fn forward(mut near: TcpStream, node: SocketAddr, mut frozen: watch::Receiver<bool>) {
    let Ok(mut far) = TcpStream::connect(node).await else { return };
    let freezes = async {
        let _ = frozen.wait_for(|frozen| *frozen).await;
    };
    let ended = tokio::select! {
        _ = copy_bidirectional(&mut near, &mut far) => true,
        () = freezes => false,
    };
    if !ended {
        // Holds both sockets open.
        std::future::pending::<()>().await;
    }
}
