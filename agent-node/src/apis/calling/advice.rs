//! What others would do, counted beside a model's own choice. Only a call that this model wrote itself is ever made: advice
//! confirms it or, where most would do otherwise, stops it. It never puts another in its place, for nothing that somebody
//! else wrote may name what runs (arXiv 2506.08837).

use std::collections::HashMap;

use super::{Answered, Decision, vote::wording};
use crate::apis::{Api, Call};

/// What somebody else would do.
#[derive(Debug, Clone, PartialEq)]
pub struct Advice {
    /// The call; none for who would call nothing.
    pub call: Option<Call>,
}

/// How an answer stands among those who were asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Who would do exactly this, the model itself included.
    pub votes: usize,
    /// Of how many.
    pub voters: usize,
    /// Whether more than half would do the same other thing.
    pub outvoted: bool,
}

/// Counts advice beside what a model answered: the same call is one vote, in whatever spelling.
#[must_use]
pub fn standing(answered: &Answered, advice: Vec<Advice>) -> Standing {
    let apis: Vec<&Api> = answered.retrieved.iter().map(|hit| &*hit.api).collect();
    let key = |decision: &Decision| match decision {
        // Who would ask first would call nothing now.
        Decision::Missing { .. } | Decision::NoCall => String::new(),
        Decision::Calls(_) => wording(decision, &apis),
    };
    let own = key(&answered.outcome.decision);
    let (mut votes, voters) = (1, advice.len() + 1);
    let mut others: HashMap<String, usize> = HashMap::new();
    for Advice { call } in advice {
        let theirs = key(&call.map_or(Decision::NoCall, |call| Decision::Calls(vec![call])));
        if theirs == own {
            votes += 1;
        } else {
            *others.entry(theirs).or_default() += 1;
        }
    }
    Standing { votes, voters, outvoted: others.into_values().any(|count| 2 * count > voters) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::apis::calling::{Outcome, Spent};

    fn call(api: &str, id: serde_json::Value) -> Call {
        Call { api: api.to_owned(), arguments: json!({"id": id}).as_object().unwrap().clone() }
    }

    fn own(decision: Decision) -> Answered {
        let (judged, relaxed, exchanges) = (Vec::new(), Vec::new(), Vec::new());
        let outcome = Outcome { decision, confidence: 0.9, judged, relaxed, spent: Spent::default(), exchanges };
        Answered { retrieved: Vec::new(), outcome, ms: 0 }
    }

    fn counted(decision: Decision, advice: Vec<Option<Call>>) -> (usize, usize, bool) {
        let advice = advice.into_iter().map(|call| Advice { call }).collect();
        let Standing { votes, voters, outvoted } = standing(&own(decision), advice);
        (votes, voters, outvoted)
    }

    #[test]
    fn the_same_call_confirms_and_most_others_stop_it() {
        let read = || Decision::Calls(vec![call("read", json!(1))]);
        let same = || Some(call("read", json!(1.0)));
        let other = || Some(call("delete", json!(1)));
        assert_eq!(counted(read(), Vec::new()), (1, 1, false));
        assert_eq!(counted(read(), vec![same(), other(), None]), (2, 4, false));
        assert_eq!(counted(read(), vec![None, None]), (1, 3, true));
        assert_eq!(counted(read(), vec![other(), other(), other(), same()]), (2, 5, true));
        // As many as not: it is the actor's choice.
        assert_eq!(counted(read(), vec![None]), (1, 2, false));
        assert_eq!(counted(Decision::NoCall, vec![None, other()]), (2, 3, false));
    }
}
