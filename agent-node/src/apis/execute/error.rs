//! Why a call was not made, or is not known to have been.

use super::credentials::CredentialError;
use super::guard::Refusal;
use super::journal::{JournalError, State};
use super::preview::Preview;

/// A call that was not carried out, or not to its end. Nothing in it is from a credential, and it has no `source()`: what
/// libraries say of a failed request may quote it.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each says itself")]
pub enum ExecuteError {
    #[error("cannot call {0}: its document does not say where it is served")]
    NotExecutable(String),
    #[error("this is a call of {call}, not of {api}")]
    OtherApi { api: String, call: String },
    #[error("the arguments of {api} do not fit its document: {problem}")]
    Arguments { api: String, problem: String },
    #[error("the document of {api} cannot be used: {problem}")]
    Document { api: String, problem: String },
    #[error("{api} is not called: calls that are {class} are denied by the policy in [apis]")]
    Denied { api: String, class: &'static str },
    #[error("{} is not called without consent, because it is {}: consent with {}", .preview.api, .preview.class, .preview.fingerprint)]
    NotConfirmed { preview: Preview },
    #[error("{} is not called: the consent is for another call than this one, {}", .preview.api, .preview.fingerprint)]
    OtherConsent { preview: Preview },
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Credential(#[from] CredentialError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// It is in the journal, and so is this.
    #[error("call {id} of {api} {}: {why}", .state.said())]
    Sending { id: String, api: String, state: State, why: String },
    #[error("cannot set up TLS: {0}")]
    Tls(String),
    #[error("the journal's work stopped: {0}")]
    Stopped(String),
    #[error("cannot undo {id}: {why}")]
    Undo { id: String, why: String },
}

/// How far a protocol got with a call that did not go well.
#[derive(Debug)]
pub(super) struct Trouble {
    /// What is known of the call.
    pub(super) state: State,
    /// Why; not redacted yet.
    pub(super) why: String,
}

impl Trouble {
    /// Nothing was sent.
    pub(super) fn before(why: impl ToString) -> Self {
        Self { state: State::NotSent, why: why.to_string() }
    }

    /// Something was sent, and nobody knows what came of it.
    pub(super) fn unknown(why: impl ToString) -> Self {
        Self { state: State::Unknown, why: why.to_string() }
    }

    /// The server said no.
    pub(super) fn refused(why: impl ToString) -> Self {
        Self { state: State::Failed, why: why.to_string() }
    }
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Self::before(refusal)
    }
}
