//! How a command ends: the exit codes, and the failure that carries one.

use std::error::Error;
use std::fmt::Write;

use synod_models::store::StoreError;

use crate::config::Mistakes;

/// What the process reports to its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExitCode {
    /// Done.
    Ok = 0,
    /// It did not work.
    Failed = 1,
    /// The command line does not make sense.
    Usage = 2,
    /// The configuration has mistakes.
    Configuration = 64,
    /// No source, node or aggregator answers.
    Unreachable = 69,
    /// Ctrl-C, or a request to terminate.
    Interrupted = 130,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

/// A command that did not work: what happened, and what the reader can do next.
#[derive(Debug)]
pub(crate) struct Failure {
    /// For the caller.
    pub(crate) code: ExitCode,
    /// For the reader; empty if there is nobody to tell.
    pub(crate) message: String,
    /// What to do next.
    pub(crate) hint: Option<String>,
}

impl Failure {
    /// A failure without a hint.
    pub(crate) fn new(code: ExitCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None }
    }

    /// The same, with a hint.
    #[must_use]
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::UnknownModel { .. } => ExitCode::Usage,
            StoreError::Cancelled { .. } => ExitCode::Interrupted,
            StoreError::NoSource { attempts, .. } if !attempts.iter().any(|one| one.error.is_wrong_content()) => {
                ExitCode::Unreachable
            }
            _ => ExitCode::Failed,
        };
        Self { code, message: with_causes(&error), hint: error.hint() }
    }
}

impl From<Mistakes> for Failure {
    fn from(mistakes: Mistakes) -> Self {
        Self::new(ExitCode::Configuration, mistakes.to_string())
            .hint("correct these, or use another file with --config FILE")
    }
}

/// The error and what caused it, in one line.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a string does not fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}
