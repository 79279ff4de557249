//! A request of either interface as it is meant, and how it becomes runs.

use std::sync::Arc;

use serde_json::Value;

use super::{
    App,
    access::Caller,
    answers::Answers,
    error::ApiError,
    extension::{self, Extension},
    format::Format,
    routes::RequestId,
    tools::Tools,
};
use crate::{
    error::Error,
    runs::{AnswerForm, Question},
    topology::{MaxTokens, OutOfRange, Sampling, Topology},
};

/// The most stop strings, and the most bytes of one.
const MAX_STOPS: usize = 4;
const MAX_STOP_BYTES: usize = 256;
/// Tokens that an answer is taken to have before it is there, where nothing bounds it.
const USUAL_TOKENS: u32 = 256;
/// Bytes of a token, about.
const TOKEN_BYTES: usize = 4;

/// What somebody wants.
pub(super) struct Wanted {
    pub(super) model: String,
    /// Role and content.
    pub(super) messages: Vec<(String, String)>,
    pub(super) sampling: Sampling,
    pub(super) format: Format,
    pub(super) tools: Option<Arc<Tools>>,
    /// How many alternatives to tell of; none for no word about tokens.
    pub(super) top_logprobs: Option<u32>,
    /// How many answers.
    pub(super) choices: usize,
    pub(super) extension: Extension,
    pub(super) plugins: Vec<Value>,
    /// What this interface calls the messages, and the format.
    pub(super) names: Names,
}

/// The fields of a request that a refusal may be about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names {
    pub(super) messages: &'static str,
    pub(super) format: &'static str,
}

impl Wanted {
    /// Starts its runs. They go by the request's id.
    pub(super) fn start(self, app: &App, caller: &Caller, asked: &RequestId) -> Result<Answers, ApiError> {
        let (topology, overrides) = extension::topology(app, caller, &self.model, &self.extension, &self.plugins)?;
        self.check_form(&topology)?;
        if self.choices > 1 && topology.acts() {
            let message =
                format!("{} calls an API, which one request has done once: ask for one answer", topology.name());
            return Err(ApiError::from(Error::invalid(message)).about("n"));
        }
        let sampling = self.sampling(caller);
        let messages = self.told();
        let tokens = estimate(&messages, &sampling, &topology).saturating_mul(self.choices as u32);
        let ticket = caller.admit(tokens)?;
        let grammar = self.tools.as_ref().map(|tools| tools.grammar(&self.format)).or_else(|| self.format.grammar());
        let form = AnswerForm { grammar, top_logprobs: self.top_logprobs };
        let run = |at: usize| {
            // Each answer draws anew, and the same again under the same seed.
            let seed = sampling.seed.map(|seed| seed.wrapping_add(at as u64));
            let question = Question {
                messages: messages.clone(),
                topology: topology.name().to_owned(),
                // Made already; made again they change nothing more.
                overrides: overrides.clone(),
                sampling: Sampling { seed, ..sampling.clone() },
                run_id: if at == 0 { asked.id.clone() } else { format!("{}-{at}", asked.id) },
                form: form.clone(),
                tenant: caller.tenant().to_owned(),
                parent: asked.parent.clone(),
                ..Question::default()
            };
            app.runner.start_through(question, &topology)
        };
        let runs = (0..self.choices).map(run).collect::<Result<Vec<_>, _>>();
        let runs = runs.map_err(|error| ApiError::from(error).about(self.names.messages))?;
        let form = self.asked_form().into_iter().find(|(asked, _)| *asked).map(|(_, field)| field);
        Ok(Answers::new(runs, ticket, form))
    }

    /// What is asked of the answer itself, and the fields that ask it.
    fn asked_form(&self) -> [(bool, &'static str); 3] {
        [
            (self.tools.is_some(), "tools"),
            (self.format != Format::Text, self.names.format),
            (self.top_logprobs.is_some(), "logprobs"),
        ]
    }

    /// What only a synthesiser can do is not asked of a topology that answers with a draft.
    fn check_form(&self, topology: &Topology) -> Result<(), ApiError> {
        match self.asked_form().iter().find(|(asked, _)| *asked && !topology.always_synthesizes()) {
            None => Ok(()),
            Some((_, field)) => {
                let message = format!(
                    "{} may answer with a draft as it is, so this cannot be had of it: choose a model, or a topology that \
                     always synthesizes",
                    topology.name()
                );
                Err(ApiError::unsupported(*field, message))
            }
        }
    }

    /// As much as the caller may have of it.
    fn sampling(&self, caller: &Caller) -> Sampling {
        let cap = caller.max_tokens().and_then(|most| MaxTokens::try_new(most).ok());
        let asked = self.sampling.max_tokens;
        let max_tokens = match (asked, cap) {
            (Some(asked), Some(cap)) if asked.get() > cap.get() => Some(cap),
            (asked, cap) => asked.or(cap),
        };
        Sampling { max_tokens, ..self.sampling.clone() }
    }

    /// The conversation, with what the models have to know of tools and format in its system text.
    fn told(&self) -> Vec<(String, String)> {
        let tools = self.tools.as_ref().map(|tools| tools.instructions());
        let instructions: Vec<String> = tools.into_iter().chain(self.format.instructions()).collect();
        if instructions.is_empty() {
            return self.messages.clone();
        }
        let has_system = self.messages.iter().any(|(role, content)| role == "system" && !content.trim().is_empty());
        let default = (!has_system).then(|| "You are a helpful assistant.".to_owned());
        let system = default.into_iter().chain(instructions).map(|text| ("system".to_owned(), text));
        // System texts are joined in their order, wherever they stand.
        self.messages.iter().cloned().chain(system).collect()
    }
}

/// Tokens that a run may cost, before it is known.
fn estimate(messages: &[(String, String)], sampling: &Sampling, topology: &Topology) -> u32 {
    let bytes: usize = messages.iter().map(|(_, content)| content.len()).sum();
    let written = sampling.max_tokens.map_or(USUAL_TOKENS, |most| most.get().min(USUAL_TOKENS)) as usize;
    let each = (bytes / TOKEN_BYTES).saturating_add(written);
    u32::try_from(each.saturating_mul(topology.calls())).unwrap_or(u32::MAX)
}

/// Stop strings, within their limits.
pub(super) fn stops(stop: Vec<String>) -> Result<Vec<String>, ApiError> {
    let long = stop.iter().any(|stop| stop.is_empty() || stop.len() > MAX_STOP_BYTES);
    if stop.len() > MAX_STOPS || long {
        let message = format!("stop takes at most {MAX_STOPS} texts of 1 to {MAX_STOP_BYTES} bytes");
        return Err(ApiError::field("stop", message));
    }
    Ok(stop)
}

/// A value within its range, or the field's name and the range.
pub(super) fn ranged<V, T>(
    param: &str,
    value: Option<V>,
    judge: impl FnOnce(V) -> Result<T, OutOfRange>,
) -> Result<Option<T>, ApiError> {
    value.map(judge).transpose().map_err(|wrong| ApiError::field(param, format!("{param}: {wrong}")))
}
