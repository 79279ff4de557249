//! From an answer's text to calls that were checked: whatever wrote it, this is where it is believed or not.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::CallError;
use crate::apis::{Api, Call};

/// What an answer says.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// These calls, each checked against its API's schema.
    Calls(Vec<Call>),
    /// An API fits, and the request does not say these of its required arguments.
    Missing {
        /// The API.
        api: String,
        /// The arguments to ask for.
        arguments: Vec<String>,
    },
    /// None of the APIs fits.
    NoCall,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    name: Option<String>,
    arguments: Option<Map<String, Value>>,
    missing: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Answers {
    One(Answer),
    Many(Vec<Answer>),
}

/// Reads an answer that was to be about `apis`.
pub(super) fn read(text: &str, apis: &[&Api]) -> Result<Decision, CallError> {
    let unreadable = |problem: String| CallError::Unreadable { text: text.chars().take(200).collect(), problem };
    let answers = match serde_json::from_str(text).map_err(|error| unreadable(error.to_string()))? {
        Answers::One(answer) => vec![answer],
        Answers::Many(answers) => answers,
    };
    let mut calls = Vec::new();
    for answer in answers {
        match answer {
            Answer { name: None, .. } => {}
            Answer { name: Some(api), arguments: Some(arguments), missing: None } => {
                let call = Call { api, arguments };
                check(&call, apis)?;
                calls.push(call);
            }
            // What can be asked for is asked for before half of a request is carried out.
            Answer { name: Some(api), missing: Some(mut arguments), .. } => {
                arguments.dedup();
                return Ok(Decision::Missing { api, arguments });
            }
            Answer { .. } => return Err(unreadable("neither `arguments` nor `missing`".to_owned())),
        }
    }
    Ok(if calls.is_empty() { Decision::NoCall } else { Decision::Calls(calls) })
}

/// Checks that a call is of one of these APIs, and its arguments are right by its schema.
///
/// # Errors
/// It is not, or they are not.
pub fn check(call: &Call, apis: &[&Api]) -> Result<(), CallError> {
    let Some(api) = apis.iter().find(|api| api.name == call.api) else {
        return Err(CallError::UnknownApi { api: call.api.clone() });
    };
    let invalid = |problem: String| CallError::Invalid { api: call.api.clone(), problem };
    let validator = jsonschema::validator_for(&api.parameters).map_err(|error| invalid(error.to_string()))?;
    let arguments = Value::Object(call.arguments.clone());
    let problem = validator
        .iter_errors(&arguments)
        .next()
        .map(|error| format!("{error} at {:?}", error.instance_path().as_str()));
    problem.map_or(Ok(()), |problem| Err(invalid(problem)))
}
