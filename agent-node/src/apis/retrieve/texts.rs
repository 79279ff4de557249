//! What of a document is searched.

use super::lexical::split_identifiers;
use crate::apis::{Api, sources};

/// Bytes of a description that are searched; the encoder reads 256 tokens of it.
const MAX_BYTES: usize = 4096;

/// For words: what it is called and does twice, for a word there says more than one in a description.
pub(super) fn words(api: &Api) -> String {
    let (what, description) = (what(api), cut(&api.description));
    format!("{} {what} {what} {} {description} {}", api.name, api.domain, parameters(api))
}

/// For meaning: what it does in short, and in the document's words. A question is held against each, and the best counts:
/// short questions are like the first, long ones like the second.
pub(super) fn passages(api: &Api) -> [String; 2] {
    let what = what(api);
    [format!("{what}. {}", api.domain), format!("{what}. {}", cut(&api.description))]
}

/// Gorilla's `functionality`, or else the name as words.
fn what(api: &Api) -> String {
    let functionality = api.details.get("functionality").map(sources::text).filter(|text| !text.is_empty());
    functionality.map_or_else(|| split_identifiers(&api.name), |text| cut(&text).to_owned())
}

/// Names of parameters that a caller chooses.
fn parameters(api: &Api) -> String {
    let properties = api.parameters.get("properties").and_then(|properties| properties.as_object());
    let free = properties.into_iter().flatten().filter(|(_, schema)| schema.get("const").is_none());
    free.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" ")
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_BYTES)]
}
