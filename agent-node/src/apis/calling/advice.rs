//! What others would call, counted beside a model's own choice. A piece of advice is a vote if the catalogues have its API
//! and its arguments fit: whoever makes one up has none.

use std::sync::Arc;

use super::{Answered, Ballot, CallError, Decision, Verdict, check, vote};
use crate::apis::{Api, Call, Library};

/// A call that somebody else would make.
#[derive(Debug, Clone, PartialEq)]
pub struct Advice {
    /// The call.
    pub call: Call,
    /// How sure its author was, from 0 to 1.
    pub confidence: f64,
}

/// An answer with everyone's word counted.
#[derive(Debug, Clone)]
pub struct Counted {
    /// What is to be done, and how surely.
    pub answered: Answered,
    /// The documents of all that was named.
    pub apis: Vec<Arc<Api>>,
    /// How many would do exactly this.
    pub votes: usize,
    /// Of how many.
    pub voters: usize,
}

/// Counts advice about APIs of these catalogues (all of the library where none is named) beside what a model answered.
///
/// # Errors
/// When a catalogue cannot be read.
pub fn counted(
    library: &Library,
    catalogues: &[String],
    mut answered: Answered,
    advice: Vec<Advice>,
) -> Result<Counted, CallError> {
    let mut apis: Vec<Arc<Api>> = answered.retrieved.iter().map(|hit| Arc::clone(&hit.api)).collect();
    let own = Ballot { decision: answered.outcome.decision.clone(), confidence: answered.outcome.confidence };
    let mut ballots = vec![own];
    for Advice { call, confidence } in advice {
        if !apis.iter().any(|api| api.name == call.api) {
            apis.extend(find(library, catalogues, &call.api)?);
        }
        let known: Vec<&Api> = apis.iter().map(|api| &**api).collect();
        if check(&call, &known).is_ok() {
            let confidence = if confidence.is_finite() { confidence.clamp(0.0, 1.0) } else { 0.0 };
            ballots.push(Ballot { decision: Decision::Calls(vec![call]), confidence });
        }
    }
    let known: Vec<&Api> = apis.iter().map(|api| &**api).collect();
    let (mut votes, voters) = (1, ballots.len());
    if let Some(Verdict { decision, confidence, votes: agreeing, .. }) = vote(&ballots, &known).filter(|_| voters > 1) {
        (answered.outcome.decision, answered.outcome.confidence) = (decision, confidence);
        votes = agreeing;
    }
    Ok(Counted { answered, apis, votes, voters })
}

/// The API of that name in the first of the catalogues that has one.
fn find(library: &Library, catalogues: &[String], name: &str) -> Result<Option<Arc<Api>>, CallError> {
    let names = if catalogues.is_empty() { library.names()? } else { catalogues.to_vec() };
    for catalogue in names {
        if let Some(api) = library.get(&catalogue)?.catalogue().find(name) {
            return Ok(Some(Arc::clone(api)));
        }
    }
    Ok(None)
}
