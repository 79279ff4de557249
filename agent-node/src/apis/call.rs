//! A call of an API, as a model wrote it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A call of an API. That the arguments fit the API's schema is checked where it is made and again where it is carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// The API's name in its catalogue.
    pub api: String,
    /// By parameter name.
    pub arguments: Map<String, Value>,
}
