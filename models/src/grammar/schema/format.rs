//! Formats of strings whose rules llguidance knows only roughly: its February has 29 days in every year, and any minute a
//! leap second.

use serde_json::{Map, Value};

const DATE: &str = "[1-9][0-9]{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)\
                    |02-(?:0[1-9]|1[0-9]|2[0-8]))";
const TIME: &str =
    r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])";

/// Replaces a format of dates and times by a pattern of texts that are valid in every year (RFC 3339); not all that are.
pub(super) fn narrow(members: &mut Map<String, Value>) {
    let pattern = match members.get("format").and_then(Value::as_str) {
        Some("date") => format!("^{DATE}$"),
        Some("time") => format!("^{TIME}$"),
        Some("date-time") => format!("^{DATE}T{TIME}$"),
        _ => return,
    };
    // With a pattern of its own the schema keeps both.
    if !members.contains_key("pattern") {
        members.remove("format");
        members.insert("pattern".to_owned(), Value::String(pattern));
    }
}
