//! What an executor is built from.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::credentials::Credential;
use super::guard::Guard;
use super::policy::Policy;

/// What an executor is built from.
#[derive(Debug, Clone)]
pub struct ExecutorConfig {
    /// Which calls are made.
    pub policy: Policy,
    /// Where they may go.
    pub guard: Guard,
    /// How much of everything.
    pub limits: Limits,
    /// By name.
    pub credentials: BTreeMap<String, Credential>,
    /// The file of the journal.
    pub journal: PathBuf,
}

/// How much of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For a call from its first to its last byte, redirects and all.
    pub time: Duration,
    /// Of an answer, after it was unpacked.
    pub response_bytes: usize,
    /// Of the arguments of a call, as JSON.
    pub request_bytes: usize,
    /// Redirects that are followed.
    pub redirects: usize,
    /// Of the journal.
    pub journal_bytes: u64,
}

impl Limits {
    /// What services answer in, and what a small model can read anything of.
    pub const USUAL: Self = Self {
        time: Duration::from_secs(30),
        response_bytes: 1024 * 1024,
        request_bytes: 256 * 1024,
        redirects: 3,
        journal_bytes: 64 * 1024 * 1024,
    };
}
