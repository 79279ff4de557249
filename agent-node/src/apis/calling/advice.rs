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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::apis::{
        LazyEmbedder,
        calling::{Outcome, Spent},
        sources::Source,
    };

    fn advice(api: &str, arguments: serde_json::Value, confidence: f64) -> Advice {
        let arguments = arguments.as_object().unwrap().clone();
        Advice { call: Call { api: api.to_owned(), arguments }, confidence }
    }

    fn own(decision: Decision) -> Answered {
        let (judged, relaxed, exchanges) = (Vec::new(), Vec::new(), Vec::new());
        let outcome = Outcome { decision, confidence: 0.9, judged, relaxed, spent: Spent::default(), exchanges };
        Answered { retrieved: Vec::new(), outcome, ms: 0 }
    }

    #[tokio::test]
    async fn advice_that_no_document_backs_has_no_vote() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("functions.json");
        let id = json!({"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]});
        let functions = json!([{"name": "read", "parameters": id}, {"name": "delete", "parameters": id}]);
        std::fs::write(&source, functions.to_string()).unwrap();
        let library = Arc::new(Library::open(folder.path().join("apis"), LazyEmbedder::none()));
        let source = Source { location: source.to_str().unwrap().to_owned(), kind: None };
        library.add("notes", source, Arc::new(|_, _| {})).await.unwrap();

        let honest = vec![advice("read", json!({"id": 1}), 0.5), advice("read", json!({"id": 1.0}), f64::NAN)];
        // Made up, of other arguments, of the wrong type: however sure and however many.
        let mut all = vec![advice("format_disk", json!({}), 9.0); 5];
        all.extend(vec![advice("delete", json!({"id": "all"}), 9.0); 5]);
        all.extend(vec![advice("delete", json!({}), 9.0); 5]);
        all.extend(honest);
        let catalogues = ["notes".to_owned()];
        let counted = counted(&library, &catalogues, own(Decision::NoCall), all).unwrap();
        assert_eq!((counted.votes, counted.voters), (2, 3));
        let Decision::Calls(calls) = &counted.answered.outcome.decision else { panic!("{counted:?}") };
        assert_eq!(calls[0], advice("read", json!({"id": 1}), 0.0).call);
        assert!(counted.apis.iter().all(|api| api.name != "format_disk"));
    }

    #[test]
    fn without_advice_it_is_ones_own_choice() {
        let library = Library::open("/nowhere", LazyEmbedder::none());
        let counted = counted(&library, &["notes".to_owned()], own(Decision::NoCall), Vec::new()).unwrap();
        assert_eq!((counted.votes, counted.voters, counted.answered.outcome.confidence), (1, 1, 0.9));
    }
}
