//! What to check of a regular expression before llguidance sees it.

/// Says what is wrong with `regex`, if something is that llguidance would pass over.
pub(super) fn check(regex: &str) -> Result<(), String> {
    if regex.is_empty() {
        return Err("it is empty".to_owned());
    }
    // llguidance drops a lone backslash at the end.
    let backslashes = regex.len() - regex.trim_end_matches('\\').len();
    if backslashes % 2 == 1 { Err("it ends in a lone backslash".to_owned()) } else { Ok(()) }
}
