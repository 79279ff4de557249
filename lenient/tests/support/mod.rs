//! What tests of both formats hold a reader to.

use serde_json::Value;
use synod_lenient::{Kind, Read, Unread};

/// `text` reads as `value`, and what is noted of it is of these kinds, in any order.
#[track_caller]
pub(crate) fn check(read: fn(&str) -> Result<Read, Unread>, text: &str, value: &Value, kinds: &[Kind]) {
    let read = read(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let mut found: Vec<Kind> = read.notes.iter().map(|note| note.kind).collect();
    let mut kinds = kinds.to_vec();
    found.sort();
    kinds.sort();
    assert_eq!(&read.value, value, "{text}");
    assert_eq!(found, kinds, "{text}");
}
