//! A way to a node that takes its time, or spoils what comes back on it.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::{Instant, sleep_until},
};

/// Arrives as bytes that are no UTF-8, and as many of them.
pub(crate) const NOT_UTF8: &str = "<these bytes are spoilt>";

/// What happens to bytes on the way.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Way {
    /// In each direction.
    pub(crate) delay: Duration,
    pub(crate) spoils: bool,
}

/// Relays until this process ends; where.
pub(crate) async fn relay(to: SocketAddr, way: Way) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            tokio::spawn(join(near, to, way));
        }
    });
    address
}

async fn join(near: TcpStream, to: SocketAddr, way: Way) {
    let Ok(far) = TcpStream::connect(to).await else { return };
    far.set_nodelay(true).unwrap();
    near.set_nodelay(true).unwrap();
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    // Once one direction has ended the other has nobody to end it.
    tokio::select! {
        () = copy(near_read, far_write, Way { spoils: false, ..way }) => {}
        () = copy(far_read, near_write, way) => {}
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, way: Way) {
    let (sender, mut receiver) = tokio::sync::mpsc::channel::<(Instant, Vec<u8>)>(1024);
    let read = async move {
        let mut held = Vec::new();
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            held.extend_from_slice(&buffer[..count]);
            let keep = if way.spoils { spoil(&mut held) } else { 0 };
            let ready = held.drain(..held.len() - keep).collect();
            if sender.send((Instant::now() + way.delay, ready)).await.is_err() {
                break;
            }
        }
    };
    let write = async move {
        while let Some((due, bytes)) = receiver.recv().await {
            sleep_until(due).await;
            if to.write_all(&bytes).await.is_err() {
                break;
            }
        }
    };
    tokio::join!(read, write);
}

/// Spoils each mark; how many bytes at the end may be the beginning of one.
fn spoil(bytes: &mut [u8]) -> usize {
    let mark = NOT_UTF8.as_bytes();
    while let Some(at) = bytes.windows(mark.len()).position(|window| window == mark) {
        bytes[at..at + mark.len()].fill(0xff);
    }
    (1..mark.len()).rev().find(|count| bytes.ends_with(&mark[..*count])).unwrap_or(0)
}
