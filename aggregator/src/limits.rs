//! Every bound of the aggregator, in one place.

use std::time::Duration;

/// What the aggregator takes, keeps and waits for, at most.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of one question: all messages together.
    pub question_bytes: usize,
    /// Messages of one question.
    pub messages: usize,
    /// Bytes of one gRPC message, before it is read. Above `question_bytes`, so that a question that is somewhat too
    /// long gets our explanation rather than the transport's.
    pub grpc_message_bytes: usize,
    /// Runs in flight; the next is refused.
    pub concurrent_runs: usize,
    /// Bytes of prompts that runs in flight may cost together, by an estimate before any work; the next is refused.
    pub prompt_bytes: usize,
    /// Calls that one run may make when nothing is retried: all seats of all its stages.
    pub calls_per_run: usize,
    /// Finished runs that `ListRuns` and `GetRun` know.
    pub runs_kept: usize,
    /// Bytes of text that those runs may hold together.
    pub runs_kept_bytes: usize,
    /// Events waiting for a slow client before deltas are joined.
    pub events_queued: usize,
    /// Bytes that one seat may write.
    pub seat_bytes: usize,
    /// Tries of one seat, the first included.
    pub attempts: u32,
    /// From asking a node to its first text; queueing and prefill are inside.
    pub first_token: Duration,
    /// Silence within an answer.
    pub idle: Duration,
    /// What a hop keeps of the deadline for its own work: a node is told of this much less.
    pub hop_margin: Duration,
    /// Retries and hedges as a share of first tries, over ten seconds.
    pub retry_share: f64,
    /// Retries and hedges a second that are allowed whatever their share.
    pub retries_per_second: u32,
    /// The least time without a first token after which a second node is asked; more where calls usually take more.
    pub hedge_min: Duration,
    /// Failures in a row after which a model on a node is left alone for a while.
    pub failures_in_a_row: u32,
    /// The share of failures, of ten calls or more in ten seconds, that does the same.
    pub failure_share: f64,
    /// How long it is left alone the first time; longer each time, as long as it does not do well in between.
    pub ejection: Duration,
    /// The longest that it is left alone before one call tries it again.
    pub ejection_max: Duration,
    /// The share of the nodes of a model that may be left alone at once: one always may, and never all.
    pub ejected_share: f64,
    /// Between two looks at a node that is well.
    pub poll_interval: Duration,
    /// How long one look may take.
    pub poll_timeout: Duration,
    /// The longest pause between two looks at a node that isn't.
    pub reconnect_max: Duration,
    /// How long after it went away a node is waited for, where no other hosts a model.
    pub return_wait: Duration,
    /// To open a connection.
    pub connect: Duration,
    /// How long a question waits for nodes that have not been looked at yet (start-up).
    pub first_look: Duration,
    /// How long runs in flight may take to finish once the process is asked to stop.
    pub drain: Duration,
}

impl Limits {
    /// The values of a process that nobody configured: laptop to small cluster.
    pub fn standard() -> Self {
        Self {
            question_bytes: 1 << 20,
            messages: 512,
            grpc_message_bytes: 4 << 20,
            concurrent_runs: 64,
            prompt_bytes: 64 << 20,
            // Eight stages of 64 seats, the most that a file can say.
            calls_per_run: 512,
            runs_kept: 256,
            runs_kept_bytes: 16 << 20,
            events_queued: 256,
            seat_bytes: 1 << 20,
            attempts: 3,
            // A 4k-token prompt on a small board takes most of this.
            first_token: Duration::from_secs(60),
            idle: Duration::from_secs(30),
            hop_margin: Duration::from_millis(100),
            // Linkerd's budget, and Envoy's outlier detection but for the share: a tenth of three nodes is none.
            retry_share: 0.2,
            retries_per_second: 10,
            hedge_min: Duration::from_millis(500),
            failures_in_a_row: 5,
            failure_share: 0.5,
            ejection: Duration::from_secs(30),
            ejection_max: Duration::from_secs(300),
            ejected_share: 0.5,
            poll_interval: Duration::from_secs(2),
            // A node that decodes on all cores answers late, and isn't dead.
            poll_timeout: Duration::from_secs(5),
            reconnect_max: Duration::from_secs(5),
            // A small model is loaded again within this.
            return_wait: Duration::from_secs(3),
            connect: Duration::from_secs(1),
            first_look: Duration::from_secs(5),
            drain: Duration::from_secs(30),
        }
    }
}
