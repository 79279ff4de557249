//! Carrying out a call that a model wrote, confined (GoEx, arXiv 2404.06921): the arguments are checked again, the policy is
//! asked, the journal is told, and only then something is sent — to a place that was checked, within limits. Credentials are
//! added at the last moment and taken out of whatever comes back. What can be undone can be undone once.

mod address;
mod client;
mod config;
mod credentials;
mod error;
mod grpc;
mod guard;
mod http;
mod journal;
mod mcp;
mod outcome;
mod place;
mod policy;
mod prepare;
mod preview;
mod redact;

use rustls::ClientConfig;
use serde_json::json;
use tokio::time::timeout;

pub use address::{Network, NetworkError};
pub use config::{ExecutorConfig, Limits};
pub use credentials::{Credential, CredentialError, CredentialKind, SecretSource};
pub use error::ExecuteError;
pub use guard::{Guard, Lookup, Refusal, SystemLookup};
pub use journal::{Entry, Intent, Journal, JournalError, State, Undo};
pub use outcome::{Content, Outcome};
pub use policy::{Consent, Policy, Rule};
pub use preview::{Preview, printable};

use super::{Api, Call, Effect};
use credentials::Secret;
use error::Trouble;
use outcome::Answer;
use prepare::{Prepared, Request};
use redact::Redactor;

/// What is kept of a server's complaint.
const COMPLAINT_CHARS: usize = 500;
/// What is kept of the arguments that undo a call.
const UNDO_BYTES: usize = 64 * 1024;

/// Carries out calls.
#[derive(Debug)]
pub struct Executor {
    config: ExecutorConfig,
    journal: Journal,
    tls: ClientConfig,
}

impl Executor {
    /// An executor of this configuration. Nothing is opened before something is called.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(config: ExecutorConfig) -> Result<Self, ExecuteError> {
        let tls = client::tls().map_err(|error| ExecuteError::Tls(error.to_string()))?;
        Ok(Self { journal: Journal::at(&config.journal, config.limits.journal_bytes), config, tls })
    }

    /// The journal of its calls.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// What a call would send, and what the policy says about it.
    ///
    /// # Errors
    /// The call could not be made whoever consents: its arguments do not fit, or nothing says where it goes.
    pub fn preview(&self, api: &Api, call: &Call) -> Result<Preview, ExecuteError> {
        Ok(self.prepare(api, call)?.preview)
    }

    /// Makes a call.
    ///
    /// # Errors
    /// It was not made, or it is not known to have been: [`ExecuteError::Sending`] says which.
    pub async fn execute(&self, api: &Api, call: &Call, consent: Consent) -> Result<Outcome, ExecuteError> {
        let prepared = self.prepare(api, call)?;
        policy::admit(prepared.preview.rule, &prepared.preview, &consent)?;
        Box::pin(self.run(prepared, None)).await
    }

    /// The call that undoes another, and its API, which is at the same server and one of `apis`.
    ///
    /// # Errors
    /// The call cannot be undone, or none of `apis` does it.
    pub fn inverse(&self, id: &str, apis: impl IntoIterator<Item = Api>) -> Result<(Api, Call), ExecuteError> {
        let refused = |why: &str| ExecuteError::Undo { id: id.to_owned(), why: why.to_owned() };
        let entries = self.journal.entries()?;
        let entry = entries.into_iter().find(|entry| entry.id == id);
        let entry = entry.ok_or_else(|| refused("there is no such call in the journal"))?;
        if let Some(why) = entry.not_undoable() {
            return Err(refused(why));
        }
        let undo = entry.undo.ok_or_else(|| refused("nothing undoes it"))?;
        let here =
            |api: &Api| api.binding.as_ref().is_some_and(|binding| preview::server(binding) == entry.intent.server);
        let api = apis.into_iter().find(|api| api.name == undo.api && here(api)).ok_or_else(|| {
            refused(&format!("no catalogue has {} at {}: add it again", undo.api, entry.intent.server))
        })?;
        Ok((api, Call { api: undo.api, arguments: undo.arguments }))
    }

    /// What undoing a call would send. Undoing is ruled by what the policy says of reversible calls.
    ///
    /// # Errors
    /// As [`preview`](Self::preview).
    pub fn preview_undo(&self, (api, call): (&Api, &Call)) -> Result<Preview, ExecuteError> {
        Ok(self.prepare_as(api, call, ("reversible", self.config.policy.reversible))?.preview)
    }

    /// Undoes a call, once, with its [`inverse`](Self::inverse).
    ///
    /// # Errors
    /// As [`execute`](Self::execute); or it has been undone, also by somebody else and just now.
    pub async fn undo(&self, id: &str, (api, call): (&Api, &Call), consent: Consent) -> Result<Outcome, ExecuteError> {
        let prepared = self.prepare_as(api, call, ("reversible", self.config.policy.reversible))?;
        policy::admit(prepared.preview.rule, &prepared.preview, &consent)?;
        Box::pin(self.run(prepared, Some(id.to_owned()))).await
    }

    async fn run(&self, prepared: Prepared<'_>, undoes: Option<String>) -> Result<Outcome, ExecuteError> {
        let secret = prepared.credential.map(|(name, credential)| credential.read(name)).transpose()?;
        let redactor = secret.as_ref().map(Secret::redactor).unwrap_or_default();
        let intent = prepared.intent(&redactor, undoes);
        let id = self.write(move |journal| journal.intend(intent)).await?;
        let limit = self.config.limits.time;
        let sent = timeout(limit, self.send(&prepared, secret.as_ref())).await.unwrap_or_else(|_| {
            Err(Trouble::unknown(format!("there was no whole answer within {} s", limit.as_secs_f32())))
        });
        self.conclude(id, &prepared, sent, &redactor).await
    }

    async fn send(&self, prepared: &Prepared<'_>, secret: Option<&Secret>) -> Result<Answer, Trouble> {
        let means = (&self.config.guard, &self.tls, &self.config.limits);
        let arguments = &prepared.call.arguments;
        match &prepared.request {
            Request::Http(method, placed) => http::send(*method, (**placed).clone(), secret, means).await,
            Request::Mcp(mcp::Server::Program(words), tool) => mcp::call_program(words, tool, arguments, means.2).await,
            Request::Mcp(mcp::Server::Url(url), tool) => mcp::call_url(url, tool, arguments, secret, means).await,
            Request::Grpc(endpoint, method) => grpc::call(endpoint, method, arguments, secret, means).await,
        }
    }

    /// Writes what came of a call, and says it.
    async fn conclude(
        &self,
        id: String,
        prepared: &Prepared<'_>,
        sent: Result<Answer, Trouble>,
        redactor: &Redactor,
    ) -> Result<Outcome, ExecuteError> {
        let told = |text: &str| printable(&redactor.text(text)).chars().take(COMPLAINT_CHARS).collect::<String>();
        let sent = sent.map(|answer| Answer { result: answer.result.redacted(redactor), ..answer });
        let sent = sent.map_err(|trouble| Trouble { why: told(&trouble.why), ..trouble });
        let (state, status, error) = match &sent {
            Ok(answer) => {
                (if answer.succeeded { State::Done } else { State::Failed }, Some(answer.status.clone()), None)
            }
            Err(trouble) => (trouble.state, None, Some(trouble.why.clone())),
        };
        let undo = (state == State::Done).then(|| undo(prepared, sent.as_ref().ok())).flatten();
        let undoable = undo.is_some();
        let (line, of) = (journal::Outcome { state, status, error, undo }, id.clone());
        let written = self.write(move |journal| journal.conclude(&of, line)).await;
        let warning = written.err().map(|error| format!("it was made, but its outcome could not be recorded: {error}"));
        match sent {
            Ok(Answer { succeeded, status, result }) => {
                Ok(Outcome { id, succeeded, status, result, undoable: undoable && warning.is_none(), warning })
            }
            Err(Trouble { state, why }) => {
                Err(ExecuteError::Sending { id, api: prepared.api.name.clone(), state, why })
            }
        }
    }

    /// Files are written off the threads that serve.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(Journal) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, ExecuteError> {
        let journal = self.journal.clone();
        let done = tokio::task::spawn_blocking(move || work(journal)).await;
        Ok(done.map_err(|error| ExecuteError::Stopped(error.to_string()))??)
    }
}

/// The call that undoes this one, if its document names one and all that it needs is there.
fn undo(prepared: &Prepared<'_>, answer: Option<&Answer>) -> Option<Undo> {
    let Effect::Reversible { inverse, arguments } = &prepared.api.effect else { return None };
    let result = answer.map(|answer| answer.result.value());
    let known = json!({"arguments": prepared.call.arguments, "result": result});
    let found = |(name, pointer): (&String, &String)| Some((name.clone(), known.pointer(pointer)?.clone()));
    let arguments = arguments.iter().map(found).collect::<Option<serde_json::Map<_, _>>>()?;
    let length = serde_json::to_vec(&arguments).map_or(usize::MAX, |bytes| bytes.len());
    (length <= UNDO_BYTES).then(|| Undo { api: inverse.clone(), arguments })
}
