//! What can go wrong, as one closed list with total maps to what each audience needs of it.

use std::{fmt, time::Duration};

/// Every kind of failure this crate reports. A new kind must say what it is to a gRPC caller, to an HTTP caller, to the
/// log and to the retry policy: the matches below have no wildcard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The question breaks a rule that the message names.
    InvalidRequest,
    /// A node refused the prompt itself: it is longer than the model's context, say.
    PromptRefused,
    /// No topology of that name.
    TopologyNotFound,
    /// No run of that id is remembered.
    RunNotFound,
    /// A run of that id exists.
    RunExists,
    /// Nodes are there, but none hosts the model.
    ModelNotHosted,
    /// A limit on work in flight is reached, here or on a node.
    Overloaded,
    /// A node, or every node, cannot be reached or is going away.
    Unavailable,
    /// A node answered with something that is no answer, or broke off.
    MemberFailed,
    /// A member was too slow for its own limit.
    MemberTimedOut,
    /// The synthesiser failed after its first token.
    SynthesisLost,
    /// The run's deadline passed.
    DeadlineExceeded,
    /// Whoever asked went away, or the process is stopping.
    Cancelled,
    /// A bug of ours.
    Internal,
}

/// Where the same call may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// It would fail in the same way everywhere.
    Never,
    /// Only on another node.
    Elsewhere,
    /// On another node, or on the same one after a pause.
    Anywhere,
}

impl ErrorCode {
    pub(crate) const ALL: [Self; 14] = [
        Self::InvalidRequest,
        Self::PromptRefused,
        Self::TopologyNotFound,
        Self::RunNotFound,
        Self::RunExists,
        Self::ModelNotHosted,
        Self::Overloaded,
        Self::Unavailable,
        Self::MemberFailed,
        Self::MemberTimedOut,
        Self::SynthesisLost,
        Self::DeadlineExceeded,
        Self::Cancelled,
        Self::Internal,
    ];

    /// The code of that [name](Self::name).
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.name() == name)
    }

    /// The status of the gRPC call that ends with this.
    pub fn grpc(self) -> tonic::Code {
        match self {
            Self::InvalidRequest | Self::PromptRefused => tonic::Code::InvalidArgument,
            Self::TopologyNotFound | Self::RunNotFound => tonic::Code::NotFound,
            Self::RunExists => tonic::Code::AlreadyExists,
            Self::ModelNotHosted => tonic::Code::FailedPrecondition,
            Self::Overloaded => tonic::Code::ResourceExhausted,
            Self::Unavailable | Self::MemberFailed | Self::MemberTimedOut | Self::SynthesisLost => {
                tonic::Code::Unavailable
            }
            Self::DeadlineExceeded => tonic::Code::DeadlineExceeded,
            Self::Cancelled => tonic::Code::Cancelled,
            Self::Internal => tonic::Code::Internal,
        }
    }

    /// The status of the HTTP response that ends with this.
    pub fn http(self) -> u16 {
        match self {
            Self::InvalidRequest | Self::PromptRefused => 400,
            Self::TopologyNotFound | Self::RunNotFound => 404,
            Self::RunExists => 409,
            Self::Overloaded => 429,
            Self::Cancelled => 499,
            Self::Internal => 500,
            Self::MemberFailed | Self::SynthesisLost => 502,
            Self::ModelNotHosted | Self::Unavailable => 503,
            Self::MemberTimedOut | Self::DeadlineExceeded => 504,
        }
    }

    /// How loud it is: a caller's mistake is not our operator's alarm.
    pub fn log_level(self) -> tracing::Level {
        match self {
            Self::InvalidRequest
            | Self::PromptRefused
            | Self::TopologyNotFound
            | Self::RunNotFound
            | Self::RunExists
            | Self::Cancelled => tracing::Level::DEBUG,
            Self::ModelNotHosted
            | Self::Overloaded
            | Self::Unavailable
            | Self::MemberFailed
            | Self::MemberTimedOut
            | Self::SynthesisLost
            | Self::DeadlineExceeded => tracing::Level::WARN,
            Self::Internal => tracing::Level::ERROR,
        }
    }

    /// Where a member's call that failed like this may be tried again.
    pub fn retry(self) -> Retry {
        match self {
            Self::InvalidRequest
            | Self::PromptRefused
            | Self::TopologyNotFound
            | Self::RunNotFound
            | Self::RunExists
            | Self::SynthesisLost
            | Self::DeadlineExceeded
            | Self::Cancelled
            | Self::Internal => Retry::Never,
            // The same node would be as silent again, and there is no time for that twice.
            Self::ModelNotHosted | Self::MemberTimedOut => Retry::Elsewhere,
            Self::Overloaded | Self::Unavailable | Self::MemberFailed => Retry::Anywhere,
        }
    }

    /// The name that logs and `google.rpc.ErrorInfo` carry.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "INVALID_REQUEST",
            Self::PromptRefused => "PROMPT_REFUSED",
            Self::TopologyNotFound => "TOPOLOGY_NOT_FOUND",
            Self::RunNotFound => "RUN_NOT_FOUND",
            Self::RunExists => "RUN_EXISTS",
            Self::ModelNotHosted => "MODEL_NOT_HOSTED",
            Self::Overloaded => "OVERLOADED",
            Self::Unavailable => "UNAVAILABLE",
            Self::MemberFailed => "MEMBER_FAILED",
            Self::MemberTimedOut => "MEMBER_TIMED_OUT",
            Self::SynthesisLost => "SYNTHESIS_LOST",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::Cancelled => "CANCELLED",
            Self::Internal => "INTERNAL",
        }
    }
}

/// A failure: what kind, what was tried, and when to come back. Never carries a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The kind.
    pub code: ErrorCode,
    /// What was tried, what went wrong, what the reader can do.
    pub message: String,
    /// When trying again makes sense, if the one who refused said so.
    pub retry_after: Option<Duration>,
}

impl Error {
    /// A failure without advice on when to come back.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after: None }
    }

    /// Whether whoever was asked did nothing: it refused before.
    pub(crate) fn refused(&self) -> bool {
        use ErrorCode::{InvalidRequest, ModelNotHosted, Overloaded, PromptRefused};
        matches!(self.code, InvalidRequest | ModelNotHosted | Overloaded | PromptRefused)
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidRequest, message)
    }

    /// Into the log, as loud as its kind is.
    pub(crate) fn log(&self, run_id: &str, what: &'static str) {
        let code = self.code.name();
        match self.code.log_level() {
            tracing::Level::ERROR => tracing::error!(run_id, code, error = %self, "{what}"),
            tracing::Level::WARN => tracing::warn!(run_id, code, error = %self, "{what}"),
            _ => tracing::debug!(run_id, code, error = %self, "{what}"),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
