//! Every bound of the HTTP interface, in one place.

use std::time::Duration;

/// What a client may send and how long it may take, at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpLimits {
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// To send it.
    pub body: Duration,
    /// Bytes of a request's head.
    pub head_bytes: usize,
    /// Headers of a request.
    pub headers: usize,
    /// To send a request's head, and between two requests of a connection.
    pub head: Duration,
    /// Connections; past this the one that is idle for longest is closed, or else the newcomer.
    pub connections: usize,
    /// Without a client reading anything of what waits for it.
    pub write: Duration,
    /// Between two comments that keep a silent stream alive.
    pub keep_alive: Duration,
    /// How long a stream may hold its head back, so that a refusal by a node is still a status.
    pub first_word: Duration,
    /// Answers to one request (`n`).
    pub choices: usize,
    /// Tools of one request.
    pub tools: usize,
    /// Texts of one embedding request.
    pub inputs: usize,
    /// To embed them.
    pub embed: Duration,
}

impl HttpLimits {
    /// Room for long conversations and many tools; nothing a single client can hold up the others with.
    pub fn standard() -> Self {
        Self {
            body_bytes: 4 << 20,
            body: Duration::from_secs(30),
            head_bytes: 64 << 10,
            headers: 100,
            head: Duration::from_secs(15),
            connections: 1024,
            write: Duration::from_secs(30),
            keep_alive: Duration::from_secs(10),
            first_word: Duration::from_secs(1),
            choices: 8,
            tools: 128,
            inputs: 256,
            embed: Duration::from_secs(60),
        }
    }
}
