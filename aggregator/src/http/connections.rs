//! The connections there are: not too many, and those that do nothing go first.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Counts connections and requests under way on them.
#[derive(Debug)]
pub(super) struct Connections {
    most: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    by_number: BTreeMap<u64, Connection>,
}

#[derive(Debug)]
struct Connection {
    close: CancellationToken,
    requests: usize,
    idle_since: Instant,
}

/// A connection's place; dropped, it is free again.
#[derive(Debug, Clone)]
pub(super) struct Place(Arc<Held>);

#[derive(Debug)]
struct Held {
    connections: Arc<Connections>,
    number: u64,
    close: CancellationToken,
}

/// A request under way. While there is one its connection is not idle.
#[derive(Debug)]
pub(super) struct Busy(Place);

impl Connections {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, open: Mutex::default() })
    }

    /// A place for a newcomer: free, or that of the connection that is idle for longest. None where all are busy.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Place> {
        let mut open = self.lock();
        if open.by_number.len() >= self.most {
            let idle = open.by_number.iter().filter(|(_, connection)| connection.requests == 0);
            let number = *idle.min_by_key(|(_, connection)| connection.idle_since)?.0;
            open.by_number.remove(&number)?.close.cancel();
        }
        let (number, close) = (open.next, CancellationToken::new());
        open.next += 1;
        let connection = Connection { close: close.clone(), requests: 0, idle_since: Instant::now() };
        open.by_number.insert(number, connection);
        Some(Place(Arc::new(Held { connections: Arc::clone(self), number, close })))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, number: u64, change: impl FnOnce(&mut usize)) {
        if let Some(connection) = self.lock().by_number.get_mut(&number) {
            change(&mut connection.requests);
            connection.idle_since = Instant::now();
        }
    }
}

impl Place {
    /// A request begins.
    pub(super) fn busy(&self) -> Busy {
        self.0.connections.count(self.0.number, |requests| *requests += 1);
        Busy(self.clone())
    }

    /// When its place was given to another.
    pub(super) async fn closed(&self) {
        self.0.close.cancelled().await;
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let Held { connections, number, .. } = &*self.0.0;
        connections.count(*number, |requests| *requests = requests.saturating_sub(1));
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.connections.lock().by_number.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_newcomer_takes_the_place_of_who_is_idle_for_longest_and_of_nobody_who_works() {
        let connections = Connections::new(2);
        let (first, second) = (connections.enter().unwrap(), connections.enter().unwrap());
        let working = first.busy();
        let third = connections.enter().unwrap();
        assert!(second.closed().now_or_never().is_some() && first.closed().now_or_never().is_none());
        let _also = third.busy();
        assert!(connections.enter().is_none(), "everybody works");
        drop(working);
        assert!(connections.enter().is_some() && first.closed().now_or_never().is_some());
    }
}
