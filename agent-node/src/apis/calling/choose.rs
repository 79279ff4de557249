//! Which API, decided before a call is written.
//!
//! Left to write a name, small models take the first document, or the one whose name begins like the request. So each
//! document is judged by itself, by two log-probabilities that one pass over document and request yields:
//!
//! - *fit*: the log-odds of *Yes* against *No* when asked whether the document is meant for the request, less the same
//!   for an empty request (contextual calibration, arXiv 2102.09690);
//! - *gain*: how much likelier the document makes each token of the request, in the mean (query likelihood, arXiv
//!   2204.07496, less the likelihood without any document).
//!
//! No order of documents enters, and what was computed of a document serves all requests.

use synod_models::{
    engine::{Engine, Likelihood},
    text::{ChatMessage, Specials},
};

use super::{
    CallError, CallOptions, Candidate,
    account::Account,
    document::document,
    prompt::{Task, prompt},
    weigh::{silent, weigh},
};
use crate::prompt::Stretch;

/// How a candidate's evidence becomes one log-odds: by a logistic regression over what `synod apis eval --json` printed of 32
/// questions of each BFCL file with qwen2.5-coder-0.5b (each file weighs the same); that of the rank by 360 of APIBench's.
const WEIGHTS: Weights = Weights { fit: 1.6, gain: 4.3, prior: 0.5, none: 0.9 };

struct Weights {
    fit: f64,
    gain: f64,
    prior: f64,
    /// The log-odds that nothing fits has against these.
    none: f64,
}

/// What is thought of one candidate.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Judged {
    /// The API.
    pub api: String,
    /// Calibrated log-odds that its document is meant for the request.
    pub fit: f64,
    /// Nats that its document takes off each token of the request.
    pub gain: f64,
    /// Of all candidates and of none of them.
    pub probability: f64,
}

/// Judges the candidates, in their order. What they leave of 1 is the probability that none fits; nothing where a call is
/// required.
pub(super) fn judge(
    engine: &Engine,
    conversation: &[ChatMessage],
    candidates: &[Candidate],
    options: &CallOptions,
    account: &mut Account,
) -> Result<Vec<Judged>, CallError> {
    let asker = Asker::new(engine, conversation)?;
    let without = asker.ask("the request without a document".to_owned(), "(none)", account)?;
    let mut judged = Vec::new();
    let mut scores = Vec::new();
    for Candidate { api, prior } in candidates {
        if options.abandoned.is_cancelled() {
            return Err(CallError::Abandoned);
        }
        let (with, empty) = (
            asker.ask(format!("whether {} fits", api.name), &document(api), account)?,
            asker.ask_nothing(
                format!("whether {} fits where nothing is asked for", api.name),
                &document(api),
                account,
            )?,
        );
        let (fit, gain) = (with.odds - empty, with.mean - without.mean);
        scores.push(WEIGHTS.fit * fit + WEIGHTS.gain * gain + WEIGHTS.prior * prior);
        judged.push(Judged { api: api.name.clone(), fit, gain, probability: 0.0 });
    }
    let none = if options.required { f64::NEG_INFINITY } else { WEIGHTS.none };
    let largest = scores.iter().copied().fold(none, f64::max);
    let weight = |score: f64| (score - largest).exp();
    let total: f64 = scores.iter().map(|&score| weight(score)).sum::<f64>() + weight(none);
    for (judged, score) in judged.iter_mut().zip(scores) {
        judged.probability = weight(score) / total;
    }
    Ok(judged)
}

/// One request, asked about of one document after the other.
struct Asker<'a> {
    engine: &'a Engine,
    conversation: &'a [ChatMessage],
    /// The same conversation with nothing requested.
    empty: Vec<ChatMessage>,
    yes: u32,
    no: u32,
}

/// What a model thinks of a request after a document.
struct Thought {
    /// Log-odds of yes against no.
    odds: f64,
    /// Mean log-probability of the request's tokens.
    mean: f64,
}

impl<'a> Asker<'a> {
    fn new(engine: &'a Engine, conversation: &'a [ChatMessage]) -> Result<Self, CallError> {
        let empty = silent(conversation);
        let token = |word: &str| engine.tokenizer().encode(word, Specials::AsText).first().copied().unwrap_or_default();
        Ok(Self { engine, conversation, empty, yes: token("Yes"), no: token("No") })
    }

    fn ask(&self, purpose: String, document: &str, account: &mut Account) -> Result<Thought, CallError> {
        let documents = [document.to_owned()];
        let whole = prompt(self.engine, self.conversation, &documents, Task::Fits)?;
        let empty = prompt(self.engine, &self.empty, &documents, Task::Fits)?;
        // The request is where the two prompts differ.
        let (ids, others) = (whole.ids(), empty.ids());
        let begin = common(ids.iter(), others.iter()).clamp(1, ids.len());
        let end = common(ids[begin..].iter().rev(), others.iter().rev());
        let request = ids.len() - begin - end;
        let likelihood = self.weigh(purpose, &whole, begin, account)?;
        let tokens = likelihood.tokens.iter().take(request).map(|&logprob| f64::from(logprob));
        Ok(Thought { odds: odds(&likelihood.next), mean: tokens.sum::<f64>() / request.max(1) as f64 })
    }

    /// Log-odds of yes where nothing is requested.
    fn ask_nothing(&self, purpose: String, document: &str, account: &mut Account) -> Result<f64, CallError> {
        let prompt = prompt(self.engine, &self.empty, &[document.to_owned()], Task::Fits)?;
        let last = prompt.ids().len().checked_sub(1).ok_or(CallError::NoRequest)?;
        Ok(odds(&self.weigh(purpose, &prompt, last, account)?.next))
    }

    /// How likely the prompt is from its token `from` on, and yes and no after it.
    fn weigh(
        &self,
        purpose: String,
        prompt: &Stretch,
        from: usize,
        account: &mut Account,
    ) -> Result<Likelihood, CallError> {
        let (before, text) = prompt.ids().split_at(from);
        weigh(self.engine, purpose, prompt, (before, text, &[self.yes, self.no]), account)
    }
}

fn odds(next: &[f32]) -> f64 {
    f64::from(next[0]) - f64::from(next[1])
}

fn common<'a>(a: impl Iterator<Item = &'a u32>, b: impl Iterator<Item = &'a u32>) -> usize {
    a.zip(b).take_while(|(a, b)| a == b).count()
}
