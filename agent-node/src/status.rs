//! Errors to gRPC statuses: one enum, one total map, details that a program can act on.

use std::{collections::HashMap, time::Duration};

use synod_models::{embed::EmbedError, engine::EngineError, text::TemplateError};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::{
    apis::{LibraryError, SearchError, calling::CallError},
    prompt::PartError,
};

/// When a caller that was refused for load may try again.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Names who speaks in `google.rpc.ErrorInfo`.
const DOMAIN: &str = "node.synod.v1";

/// Characters of a caller's own words that an error repeats.
const QUOTED_CHARS: usize = 64;

/// Why a request failed. Never carries a prompt.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NodeError {
    #[error("no model `{name}` here: this node hosts {}", hosted.join(", "))]
    UnknownModel { name: String, hosted: Vec<String> },
    #[error("{field}: {reason}")]
    Invalid { field: &'static str, reason: String },
    #[error("{running} requests of this kind run and {queued} wait, which is all that may: try again in a moment")]
    RequestQueueFull { running: usize, queued: usize },
    #[error("this node is shutting down: ask another")]
    Draining,
    #[error("the deadline passed while {0}")]
    DeadlineExceeded(&'static str),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Embed(#[from] EmbedError),
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error("part: {0}")]
    Part(#[from] PartError),
    /// The request could not be read; tonic says why.
    #[error("{}", .0.message())]
    Request(Box<Status>),
    #[error(transparent)]
    Library(#[from] LibraryError),
    #[error(transparent)]
    Search(#[from] SearchError),
    /// What the model wrote is no call, or there is nothing to call.
    #[error(transparent)]
    Call(CallError),
    #[error("this node carries out no calls for others: `serve = true` in [apis] of its configuration lets it")]
    NotExecuted,
    #[error("a task of this node ended unexpectedly while {0}")]
    TaskFailed(&'static str),
}

impl NodeError {
    pub(crate) fn invalid(field: &'static str, reason: impl Into<String>) -> Self {
        Self::Invalid { field, reason: reason.into() }
    }

    fn code(&self) -> Code {
        match self {
            Self::UnknownModel { .. } => Code::NotFound,
            Self::Invalid { .. } | Self::Part(PartError::Unfinished) => Code::InvalidArgument,
            Self::Part(PartError::Unstable) => Code::Aborted,
            Self::RequestQueueFull { .. } => Code::ResourceExhausted,
            Self::Draining => Code::Unavailable,
            Self::DeadlineExceeded(_) => Code::DeadlineExceeded,
            Self::Engine(error) => match error {
                EngineError::QueueFull { .. } | EngineError::NoMemory => Code::ResourceExhausted,
                EngineError::PromptTooLong { .. }
                | EngineError::EmptyPrompt
                | EngineError::InvalidSampling(_)
                | EngineError::Grammar(_) => Code::InvalidArgument,
                EngineError::Stopped => Code::Unavailable,
                // The ids come from the model's own tokenizer: the file contradicts itself.
                EngineError::UnknownToken { .. } | EngineError::NotANumber => Code::Internal,
            },
            Self::Template(error) => template_code(error),
            Self::Request(status) => status.code(),
            Self::Library(LibraryError::Unknown { .. }) => Code::NotFound,
            Self::Library(LibraryError::Name { .. }) => Code::InvalidArgument,
            Self::Call(CallError::NoCatalogue) | Self::NotExecuted => Code::FailedPrecondition,
            Self::Embed(EmbedError::Abandoned) | Self::Call(CallError::Abandoned) => Code::Cancelled,
            Self::Call(_) => Code::Aborted,
            Self::Search(SearchError::NoEmbedder { .. }) => Code::FailedPrecondition,
            Self::Library(_) | Self::Search(SearchError::Embed(_)) => Code::Internal,
            Self::Embed(EmbedError::Tokenise { .. }) => Code::InvalidArgument,
            Self::Embed(EmbedError::NotANumber { .. } | EmbedError::Device(_)) | Self::TaskFailed(_) => Code::Internal,
        }
    }

    /// A stable word for programs: `google.rpc.ErrorInfo.reason`.
    fn reason(&self) -> &'static str {
        match self {
            Self::UnknownModel { .. } => "UNKNOWN_MODEL",
            Self::Invalid { .. } | Self::Part(PartError::Unfinished) => "INVALID_REQUEST",
            Self::Part(PartError::Unstable) => "PIECES_DIFFER",
            Self::RequestQueueFull { .. } | Self::Engine(EngineError::QueueFull { .. }) => "QUEUE_FULL",
            Self::Engine(EngineError::NoMemory) => "NO_MEMORY",
            Self::Draining => "DRAINING",
            Self::DeadlineExceeded(_) => "DEADLINE_EXCEEDED",
            Self::Engine(EngineError::PromptTooLong { .. }) => "PROMPT_TOO_LONG",
            Self::Engine(EngineError::EmptyPrompt) => "EMPTY_PROMPT",
            Self::Engine(EngineError::InvalidSampling(_)) => "INVALID_SAMPLING",
            Self::Engine(EngineError::Grammar(_)) => "GRAMMAR_REFUSED",
            Self::Engine(EngineError::Stopped) => "ENGINE_STOPPED",
            Self::Engine(EngineError::UnknownToken { .. } | EngineError::NotANumber)
            | Self::Embed(EmbedError::NotANumber { .. }) => "MODEL_DAMAGED",
            Self::Template(_) => "NOT_RENDERED",
            Self::Request(_) => "REQUEST_BROKEN",
            Self::Library(LibraryError::Unknown { .. }) => "UNKNOWN_CATALOGUE",
            Self::Library(LibraryError::Name { .. }) => "INVALID_REQUEST",
            Self::Library(_) => "CATALOGUE_UNREADABLE",
            Self::Call(CallError::NoCatalogue) => "NO_CATALOGUE",
            Self::NotExecuted => "NOT_EXECUTED",
            Self::Embed(EmbedError::Abandoned) | Self::Call(CallError::Abandoned) => "ABANDONED",
            Self::Call(_) => "NO_CALL",
            Self::Search(SearchError::NoEmbedder { .. }) => "NO_EMBEDDER",
            Self::Search(SearchError::Embed(_)) => "NOT_EMBEDDED",
            Self::Embed(EmbedError::Tokenise { .. }) => "NOT_TOKENISED",
            Self::Embed(EmbedError::Device(_)) | Self::TaskFailed(_) => "INTERNAL",
        }
    }

    fn details(&self) -> ErrorDetails {
        let mut details = ErrorDetails::new();
        let mut facts = HashMap::new();
        match self {
            Self::UnknownModel { name, hosted } => {
                facts.insert("hosted".to_owned(), hosted.join(","));
                details.set_resource_info("model", name.as_str(), "", self.to_string());
            }
            Self::Invalid { field, reason } => {
                details.add_bad_request_violation(*field, reason.as_str());
            }
            Self::Engine(EngineError::InvalidSampling(reason)) => {
                details.add_bad_request_violation("sampling", reason.as_str());
            }
            Self::Engine(EngineError::PromptTooLong { prompt_tokens, context_length }) => {
                facts.insert("prompt_tokens".to_owned(), prompt_tokens.to_string());
                facts.insert("context_length".to_owned(), context_length.to_string());
                details.add_bad_request_violation("messages", self.to_string());
            }
            Self::Engine(EngineError::EmptyPrompt) => {
                details.add_bad_request_violation("messages", self.to_string());
            }
            _ => {}
        }
        if self.code() == Code::ResourceExhausted {
            details.set_retry_info(Some(RETRY_DELAY));
        }
        details.set_error_info(self.reason(), DOMAIN, facts);
        details
    }
}

/// What the caller wrote, or what the model's file holds: no other prompt helps against the latter.
fn template_code(error: &TemplateError) -> Code {
    match error {
        TemplateError::Refused { .. }
        | TemplateError::OutputTooLarge { .. }
        | TemplateError::Role { .. }
        | TemplateError::Untraceable
        | TemplateError::NotOpen { .. }
        | TemplateError::NoMarkers
        | TemplateError::Empty => Code::InvalidArgument,
        TemplateError::Metadata(_)
        | TemplateError::Compile(_)
        | TemplateError::TooLong { .. }
        | TemplateError::OutOfFuel
        | TemplateError::Render(_)
        | TemplateError::Panicked => Code::FailedPrecondition,
        TemplateError::Thread(_) => Code::Internal,
    }
}

impl From<Status> for NodeError {
    fn from(status: Status) -> Self {
        Self::Request(Box::new(status))
    }
}

impl From<NodeError> for Status {
    fn from(error: NodeError) -> Self {
        let (code, reason, message) = (error.code(), error.reason(), with_causes(&error));
        match code {
            Code::Internal => tracing::error!(reason, message, "request failed"),
            _ => tracing::debug!(?code, reason, message, "request refused"),
        }
        match error {
            NodeError::Request(status) => *status,
            error => Self::with_error_details(code, message, error.details()),
        }
    }
}

/// An error and what caused it, on one line: a status has no room for a chain.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}

/// The start of a caller's word, fit for an error message: a status travels in headers, which have a limit.
pub(crate) fn shorten(word: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    let head: String = word.chars().take(QUOTED_CHARS).map(printable).collect();
    if word.chars().nth(QUOTED_CHARS).is_some() { head + "…" } else { head }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(error: impl Into<NodeError>, code: Code, reason: &str, message: &str) -> ErrorDetails {
        let status = Status::from(error.into());
        let details = status.get_error_details();
        let found = (status.code(), details.error_info().map(|info| info.reason.as_str()), status.message());
        assert_eq!(found, (code, Some(reason), message));
        details
    }

    #[test]
    fn an_unknown_model_is_answered_with_the_hosted_names() {
        let error = NodeError::UnknownModel { name: "gpt".to_owned(), hosted: vec!["a".to_owned(), "b".to_owned()] };
        let details = check(error, Code::NotFound, "UNKNOWN_MODEL", "no model `gpt` here: this node hosts a, b");
        assert_eq!(details.error_info().unwrap().metadata["hosted"], "a,b");
        assert_eq!(details.resource_info().unwrap().resource_name, "gpt");
    }

    #[test]
    fn a_full_queue_says_when_to_try_again() {
        let message = "the queue is full: 3 requests wait for 2 that run; try again in a moment";
        let error = EngineError::QueueFull { running: 2, queued: 3 };
        let details = check(error, Code::ResourceExhausted, "QUEUE_FULL", message);
        assert_eq!(details.retry_info().unwrap().retry_delay, Some(RETRY_DELAY));
        let message = "1 requests of this kind run and 8 wait, which is all that may: try again in a moment";
        let error = NodeError::RequestQueueFull { running: 1, queued: 8 };
        let details = check(error, Code::ResourceExhausted, "QUEUE_FULL", message);
        assert_eq!(details.retry_info().unwrap().retry_delay, Some(RETRY_DELAY));
    }

    #[test]
    fn a_bad_request_names_its_field() {
        let error = NodeError::invalid("sampling.max_tokens", "must be 1 at least");
        let details = check(error, Code::InvalidArgument, "INVALID_REQUEST", "sampling.max_tokens: must be 1 at least");
        assert_eq!(details.bad_request().unwrap().field_violations[0].field, "sampling.max_tokens");
        let error = EngineError::InvalidSampling("top_p is 7".to_owned());
        let details = check(error, Code::InvalidArgument, "INVALID_SAMPLING", "top_p is 7");
        assert_eq!(details.bad_request().unwrap().field_violations[0].field, "sampling");
    }

    #[test]
    fn a_long_prompt_is_told_its_length_and_the_limit() {
        let error = EngineError::PromptTooLong { prompt_tokens: 2048, context_length: 2048 };
        let message = "the prompt has 2048 tokens, and the context holds 2048: shorten it by 1";
        let details = check(error, Code::InvalidArgument, "PROMPT_TOO_LONG", message);
        assert_eq!(details.error_info().unwrap().metadata["context_length"], "2048");
    }

    #[test]
    fn what_another_node_could_do_is_unavailable() {
        check(NodeError::Draining, Code::Unavailable, "DRAINING", "this node is shutting down: ask another");
        check(EngineError::Stopped, Code::Unavailable, "ENGINE_STOPPED", "the engine has stopped");
    }

    #[test]
    fn a_callers_words_are_repeated_only_in_part() {
        assert_eq!(shorten("smol\nlm"), "smol lm");
        assert_eq!(shorten(&"é".repeat(64)), "é".repeat(64));
        assert_eq!(shorten(&"é".repeat(1_000_000)), "é".repeat(64) + "…");
    }
}
