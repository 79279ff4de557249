//! A question with what is known of its answer.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use synod_models::text::ChatMessage;

use crate::apis::calling::Candidate;

/// A question.
#[derive(Debug, Clone)]
pub struct Question {
    /// Its name in its file.
    pub id: String,
    /// The group that it is counted in.
    pub category: String,
    /// What is asked.
    pub conversation: Vec<ChatMessage>,
    /// The documents that are shown with it.
    pub candidates: Vec<Candidate>,
    /// What is right.
    pub truth: Truth,
}

/// What is right.
#[derive(Debug, Clone, PartialEq)]
pub enum Truth {
    /// These calls, in any order: for each the function's name, and for each argument the accepted values (BFCL).
    Calls(Vec<(String, Map<String, Value>)>),
    /// Not to call.
    NoCall,
    /// To call something.
    AnyCall,
    /// A call of one of some APIs.
    OneOf {
        /// Which are the reference.
        exact: BTreeSet<String>,
        /// Which are of its domain.
        domain: BTreeSet<String>,
    },
}
